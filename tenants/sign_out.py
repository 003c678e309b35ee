"""End a user's sessions and revoke their devices: *Sign out everywhere*."""

from collections.abc import Iterable

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone

from tenants.tokens import revoke_all

_CHUNK = 500


def sign_out_everywhere(user_id: int) -> tuple[int, int]:
    """Revoke a user's devices in all tenants and end their sessions; return how many of each."""
    return revoke_all(user_id), end_sessions([user_id])


def end_sessions(user_ids: Iterable[int]) -> int:
    """End the users' browser sessions; return how many. Reads every session, because Django does not index them."""
    wanted = {str(user_id) for user_id in user_ids}
    current = Session.objects.filter(expire_date__gt=timezone.now()).iterator(_CHUNK)
    keys = [session.pk for session in current if session.get_decoded().get(SESSION_KEY) in wanted]
    for start in range(0, len(keys), _CHUNK):
        Session.objects.filter(pk__in=keys[start : start + _CHUNK]).delete()
    return len(keys)
