"""The API as pages, for people who look around."""

from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


class BrowsableRenderer(BrowsableAPIRenderer):
    """Shows answers and a box for raw JSON. Without HTML forms: there are no serializers to make them of."""

    def get_rendered_html_form(self, data: Any, view: Any, method: str, request: Any) -> Any:
        """Offer no HTML form but DELETE's and OPTIONS' buttons."""
        return self.show_form_for_method(view, method, request, None) if method in ("DELETE", "OPTIONS") else None
