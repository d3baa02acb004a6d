"""Listeners that ask clients for a certificate and take any: whether it is the right one is not TLS's to say.

Python's ``ssl`` can ask for certificates only together with checking them against authorities, and a device's own is
signed by nobody. So OpenSSL is told, past Python, that every certificate will do (``SSL_CTX_set_cert_verify_callback``
through ``ctypes``, where the library's functions can be reached). Where they cannot, devices with certificates cannot
connect, and that is logged.
"""

from __future__ import annotations

import ctypes
import logging
import ssl
from typing import Any

_log = logging.getLogger(__name__)
_Verify = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_PEER = 1  # SSL_VERIFY_PEER: ask; a client that has none may go on


def _every(_store: int, _argument: int) -> int:
    return 1


_take = _Verify(_every)
"""Kept for as long as the process lives, as OpenSSL will call it."""


def ask_for_certificates(context: ssl.SSLContext) -> bool:
    """Have the context ask, and take what comes; False where that is not possible, and nothing is changed."""
    try:
        import _ssl

        library: Any = ctypes.CDLL(_ssl.__file__)
        set_callback, get_mode = library.SSL_CTX_set_cert_verify_callback, library.SSL_CTX_get_verify_mode
    except (ImportError, AttributeError, OSError) as problem:
        _log.warning("devices cannot show certificates: the functions of OpenSSL are out of reach (%s)", problem)
        return False
    # The first field of CPython's object is the context of OpenSSL.
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
    get_mode.argtypes, get_mode.restype = [ctypes.c_void_p], ctypes.c_int
    set_callback.argtypes, set_callback.restype = [ctypes.c_void_p, _Verify, ctypes.c_void_p], None
    before = context.verify_mode
    context.verify_mode = ssl.CERT_OPTIONAL
    if get_mode(pointer) != _PEER:
        context.verify_mode = before
        _log.warning("devices cannot show certificates: this Python keeps contexts of OpenSSL elsewhere")
        return False
    set_callback(pointer, _take, None)
    return True


def certificates(tls: object | None) -> tuple[bytes, ...]:
    """What a client has shown, in DER, its own first; empty without one."""
    if not isinstance(tls, ssl.SSLObject):
        return ()
    own = tls.getpeercert(binary_form=True)
    if own is None:
        return ()
    chain = _chain(tls)
    return chain if chain and chain[0] == own else (own, *chain)


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:  # Python 3.13 and newer
        return tuple(public())
    inner: Any = getattr(tls, "_sslobj", None)
    found = None if inner is None else inner.get_unverified_chain()
    return () if found is None else tuple(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in found)
