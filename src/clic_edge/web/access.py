"""Who asks, and whether they may."""

from collections.abc import Callable

from fastapi import HTTPException, Request
from starlette.status import HTTP_401_UNAUTHORIZED, HTTP_403_FORBIDDEN

from clic_edge.domain.account import Account, Role


def account_of(request: Request) -> Account:
    """Return who asks. Raises HTTPException 401 where nobody has logged in."""
    account = getattr(request.state, "account", None)
    if not isinstance(account, Account):
        raise HTTPException(HTTP_401_UNAUTHORIZED, "Log in first.")
    return account


def at_least(role: Role) -> Callable[[Request], Account]:
    """Return a dependency that gives who asks, and answers 403 to a lesser role."""

    def checked(request: Request) -> Account:
        account = account_of(request)
        if not account.role.includes(role):
            raise HTTPException(HTTP_403_FORBIDDEN, f"This takes the role {role}.")
        return account

    return checked
