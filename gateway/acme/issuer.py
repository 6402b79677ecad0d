"""Orders a certificate at an ACME server; certbot's library speaks the protocol."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from gateway.acme.store import new_key
from gateway.config import CODE_CONTRADICTION, AcmeOptions
from gateway.core.http01 import Challenges
from p2p.errors import ConfigError, ErrorCode

if TYPE_CHECKING:
    from acme import client, messages

CODE_NO_LIBRARY: Final = ErrorCode("P2P-1526", "Run `pip install 'p2p-toolkit[acme]'`, or give --tls-cert instead.")

ORDER_WITHIN_S: Final = 90.0
"""From the order to the certificate; the authorities' own patience is shorter."""
REQUEST_WITHIN_S: Final = 15
POLL_S: Final = 2.0
"""How long a thread polls at once: a gateway that ends waits for no more."""
_OF_THE_SERVER: Final = frozenset(
    {"serverInternal", "badNonce", "accountDoesNotExist", "externalAccountRequired", "userActionRequired"}
)
"""Problems (RFC 8555 section 6.7) that no other name would be spared."""
_PROBLEM_MAX_CHARACTERS: Final = 300

ResultT = TypeVar("ResultT")


class NameRefusedError(Exception):
    """The authority gives no certificate for this name."""


class ServerFailedError(Exception):
    """The authority cannot be used now, whatever the name."""


class Issuer(Protocol):
    """Who issues certificates."""

    async def issue(self, name: str, challenges: Challenges) -> bytes:
        """Get a certificate.

        Args:
            name: The host.
            challenges: Where visitors of the host are answered.

        Returns:
            Its private key and chain (PEM).

        Raises:
            NameRefusedError: Not for this name.
            ServerFailedError: Not now.
        """
        ...


class AcmeIssuer:
    """An ACME server (RFC 8555), of which one certificate is asked at a time.

    The library blocks, so each request has a thread. None of them takes long, so that the end of the program does not
    either.

    Args:
        options: Which server, and who asks.
        account_key: The account's private key (PEM).

    Raises:
        ConfigError: The library is not installed, or the file of the server's authority is none.
    """

    def __init__(self, options: AcmeOptions, account_key: bytes) -> None:
        try:
            import acme.client  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"--acme needs the library acme: {error}", code=CODE_NO_LIBRARY) from error
        if options.ca is not None:
            try:
                ssl.create_default_context(cafile=str(options.ca))
            except OSError as error:
                raise ConfigError(f"{options.ca}: {error}", code=CODE_CONTRADICTION) from error
        self._options = options
        self._account_key = account_key
        self._client: client.ClientV2 | None = None

    async def issue(self, name: str, challenges: Challenges) -> bytes:
        """See ``Issuer``."""
        try:
            async with asyncio.timeout(ORDER_WITHIN_S):
                return await self._issue(name, challenges)
        except TimeoutError as error:
            raise NameRefusedError(f"no certificate within {ORDER_WITHIN_S:.0f} s") from error
        except ServerFailedError:
            # The account may be the reason: it is looked for again.
            self._hang_up()
            self._client = None
            raise
        finally:
            challenges.forget(name)
            self._hang_up()

    async def _issue(self, name: str, challenges: Challenges) -> bytes:
        from acme import challenges as kinds
        from acme import crypto_util

        if self._client is None:
            self._client = await _ask(self._sign_up, of_server=True)
        there = self._client
        key = new_key()
        order = await _ask(lambda: there.new_order(crypto_util.make_csr(key, [name])))
        for authorization in order.authorizations:
            for challenge in authorization.body.challenges:
                if isinstance(challenge.chall, kinds.HTTP01) and authorization.body.status.name == "pending":
                    response, answer = challenge.response_and_validation(there.net.key)
                    challenges.expect(name, challenge.chall.encode("token"), answer)
                    await _ask(there.answer_challenge, challenge, response)
        order = await self._poll(there.poll_authorizations, order)
        order = await self._poll(there.finalize_order, order)
        return key + order.fullchain_pem.encode()

    def _hang_up(self) -> None:
        """Close connections: the next order, which opens them again, may be weeks away."""
        if self._client is not None:
            self._client.net.session.close()

    def _sign_up(self) -> client.ClientV2:
        """Find the account of our key, or make it; the terms are accepted by whoever gives ``--acme``."""
        from acme import client, errors, messages
        from josepy.jwa import ES256
        from josepy.jwk import JWK

        trust = True if self._options.ca is None else str(self._options.ca)
        net = client.ClientNetwork(
            JWK.load(self._account_key),
            alg=ES256,
            # Handed through to requests, which takes a file as well.
            verify_ssl=cast("bool", trust),
            user_agent="p2p-gateway",
            timeout=REQUEST_WITHIN_S,
        )
        there = client.ClientV2(client.ClientV2.get_directory(self._options.server, net), net)
        try:
            there.new_account(
                messages.NewRegistration.from_data(email=self._options.email, terms_of_service_agreed=True)
            )
        except errors.ConflictError as error:
            net.account = messages.RegistrationResource(uri=error.location, body=messages.Registration())
        return there

    async def _poll(
        self,
        ask: Callable[[messages.OrderResource, datetime.datetime], messages.OrderResource],
        order: messages.OrderResource,
    ) -> messages.OrderResource:
        """Ask in turns of some seconds until the server has decided."""
        from acme import errors

        while True:
            try:
                # In local time without a zone: so the library compares it.
                until = datetime.datetime.now() + datetime.timedelta(seconds=POLL_S)  # noqa: DTZ005
                return await _ask(ask, order, until)
            except errors.TimeoutError:
                continue


async def _ask(call: Callable[..., ResultT], *arguments: Any, of_server: bool = False) -> ResultT:
    """Run a call of the library in a thread, and sort what goes wrong.

    Args:
        call: What to run.
        *arguments: What it takes.
        of_server: Whether an error says nothing about the name.
    """
    import josepy
    import requests
    from acme import errors, messages

    try:
        return await asyncio.to_thread(call, *arguments)
    except errors.TimeoutError:
        raise
    except errors.ValidationError as error:
        found = [challenge.error for each in error.failed_authzrs for challenge in each.body.challenges]
        raise NameRefusedError(_shown("; ".join(str(problem) for problem in found if problem))) from error
    except errors.IssuanceError as error:
        raise NameRefusedError(_shown(error.error)) from error
    except messages.Error as error:
        kind = ServerFailedError if of_server or error.code in _OF_THE_SERVER else NameRefusedError
        raise kind(_shown(error)) from error
    except (errors.Error, requests.RequestException, josepy.errors.Error, OSError, KeyError, ValueError) as error:
        # It does not speak ACME, or not now.
        raise ServerFailedError(_shown(error)) from error


def _shown(error: object) -> str:
    """What a stranger's server says, fit for one line of a log."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return text[:_PROBLEM_MAX_CHARACTERS] or type(error).__name__
