"""The API as browsable pages."""

from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


class BrowsableRenderer(BrowsableAPIRenderer):
    """Shows responses and a box for raw JSON, without HTML forms, since there are no serializers."""

    def get_rendered_html_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        """Return no HTML form except the DELETE and OPTIONS buttons."""
        return self.show_form_for_method(view, method, request, None) if method in ("DELETE", "OPTIONS") else None
