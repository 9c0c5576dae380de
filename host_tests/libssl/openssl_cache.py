"""The session cache of the real libssl, with SessionTable's verbs.

libssl 3.x and libcrypto are loaded at run time through cffi; no header and no compiler is needed. What libssl
does inside a handshake is driven for real, over memory BIOs: a lookup by a handcrafted ClientHello that
offers a session id, storing by a whole TLS 1.2 handshake between two SSL objects.

libssl shows neither reference counts nor the cache's order. A session's last free is seen by an ex_data
callback, the cache's content through its hash table. SESSTAB_LIBSSL and SESSTAB_LIBCRYPTO choose other
libraries.
"""

import ctypes.util
import os
import struct
from typing import ClassVar

from cffi import FFI

TLS1_2 = 0x0303
SESS_CACHE_CLIENT, SESS_CACHE_SERVER = 1, 2
SESS_CACHE_UPDATE_TIME = 0x400

# SSL_CTX_ctrl(3) and SSL_ctrl(3): what the manual lists as functions are macros of these.
_COUNTERS = {
    "number": 20,
    "connect_good": 22,
    "accept_good": 25,
    "hits": 27,
    "cb_hits": 28,
    "misses": 29,
    "timeouts": 30,
    "cache_full": 31,
}
_SET_CACHE_SIZE, _GET_CACHE_SIZE, _SET_CACHE_MODE, _GET_CACHE_MODE = 42, 43, 44, 45
_SET_MIN_VERSION, _SET_MAX_VERSION = 123, 124
_EX_INDEX_SESSION = 2
_NO_INTERNAL = 0x300
_OP_NO_EXTENDED_MASTER_SECRET, _OP_NO_TICKET = 1 << 0, 1 << 14
_ERROR_WANT_READ = 2
_SENT_AND_RECEIVED_SHUTDOWN = 3

# Two full handshakes: by a pre-shared key, which costs no public-key operation, and with a certificate.
PSK = (b"PSK-AES128-GCM-SHA256", 0x00A8)
CERTIFICATE = (b"ECDHE-ECDSA-AES128-GCM-SHA256", 0xC02B)

ffi = FFI()
ffi.cdef(
    """
    typedef struct SSL SSL; typedef struct SSL_CTX SSL_CTX; typedef struct SSL_SESSION SSL_SESSION;
    typedef struct SSL_CIPHER SSL_CIPHER; typedef struct BIO BIO; typedef struct X509 X509;
    typedef struct EVP_PKEY EVP_PKEY;

    const char *OpenSSL_version(int);
    void ERR_clear_error(void);
    unsigned long ERR_get_error(void);
    void ERR_error_string_n(unsigned long, char *, size_t);
    int CRYPTO_get_ex_new_index(int, long, void *, void *, void *,
        void (*)(void *, void *, void *, int, long, void *));
    BIO *BIO_new(const void *); const void *BIO_s_mem(void);
    int BIO_write(BIO *, const void *, int); int BIO_read(BIO *, void *, int);
    void OPENSSL_LH_doall(void *, void (*)(void *));
    EVP_PKEY *EVP_PKEY_Q_keygen(void *, const char *, const char *, ...); void EVP_PKEY_free(EVP_PKEY *);
    X509 *X509_new(void); int X509_set_pubkey(X509 *, EVP_PKEY *); const void *EVP_sha256(void);
    int X509_sign(X509 *, EVP_PKEY *, const void *); void X509_free(X509 *);
    void *X509_getm_notBefore(X509 *); void *X509_getm_notAfter(X509 *); void *X509_gmtime_adj(void *, long);

    const void *TLS_method(void);
    SSL_CTX *SSL_CTX_new(const void *); void SSL_CTX_free(SSL_CTX *);
    long SSL_CTX_ctrl(SSL_CTX *, int, long, void *);
    uint64_t SSL_CTX_set_options(SSL_CTX *, uint64_t);
    int SSL_CTX_set_cipher_list(SSL_CTX *, const char *);
    int SSL_CTX_use_certificate(SSL_CTX *, X509 *); int SSL_CTX_use_PrivateKey(SSL_CTX *, EVP_PKEY *);
    void SSL_CTX_set_psk_client_callback(SSL_CTX *,
        unsigned (*)(SSL *, const char *, char *, unsigned, unsigned char *, unsigned));
    void SSL_CTX_set_psk_server_callback(SSL_CTX *,
        unsigned (*)(SSL *, const char *, unsigned char *, unsigned));
    int SSL_CTX_set_generate_session_id(SSL_CTX *, int (*)(SSL *, unsigned char *, unsigned *));
    void SSL_CTX_sess_set_new_cb(SSL_CTX *, int (*)(SSL *, SSL_SESSION *));
    void SSL_CTX_sess_set_get_cb(SSL_CTX *, SSL_SESSION *(*)(SSL *, const unsigned char *, int, int *));
    void SSL_CTX_sess_set_remove_cb(SSL_CTX *, void (*)(SSL_CTX *, SSL_SESSION *));
    int SSL_CTX_add_session(SSL_CTX *, SSL_SESSION *); int SSL_CTX_remove_session(SSL_CTX *, SSL_SESSION *);
    void SSL_CTX_flush_sessions(SSL_CTX *, long); void *SSL_CTX_sessions(SSL_CTX *);
    long SSL_CTX_set_timeout(SSL_CTX *, long); long SSL_CTX_get_timeout(SSL_CTX *);

    SSL *SSL_new(SSL_CTX *); void SSL_free(SSL *); SSL_CTX *SSL_get_SSL_CTX(SSL *);
    void SSL_set_bio(SSL *, BIO *, BIO *); int SSL_do_handshake(SSL *); int SSL_get_error(SSL *, int);
    void SSL_set_accept_state(SSL *); void SSL_set_connect_state(SSL *); void SSL_set_shutdown(SSL *, int);
    const SSL_CIPHER *SSL_CIPHER_find(SSL *, const unsigned char *);
    int SSL_set_session(SSL *, SSL_SESSION *); int SSL_session_reused(SSL *);
    SSL_SESSION *SSL_get1_session(SSL *);
    int SSL_set_session_id_context(SSL *, const unsigned char *, unsigned);
    int SSL_has_matching_session_id(SSL *, const unsigned char *, unsigned);

    SSL_SESSION *SSL_SESSION_new(void); void SSL_SESSION_free(SSL_SESSION *);
    int SSL_SESSION_up_ref(SSL_SESSION *);
    int SSL_SESSION_set1_id(SSL_SESSION *, const unsigned char *, unsigned);
    const unsigned char *SSL_SESSION_get_id(SSL_SESSION *, unsigned *);
    int SSL_SESSION_set1_id_context(SSL_SESSION *, const unsigned char *, unsigned);
    int SSL_SESSION_set1_master_key(SSL_SESSION *, const unsigned char *, size_t);
    int SSL_SESSION_set_cipher(SSL_SESSION *, const SSL_CIPHER *);
    int SSL_SESSION_set_protocol_version(SSL_SESSION *, int);
    int SSL_SESSION_set_ex_data(SSL_SESSION *, int, void *);
    void *SSL_SESSION_get_ex_data(SSL_SESSION *, int);
    long SSL_SESSION_get_time(SSL_SESSION *); long SSL_SESSION_set_time(SSL_SESSION *, long);
    long SSL_SESSION_get_timeout(SSL_SESSION *); long SSL_SESSION_set_timeout(SSL_SESSION *, long);
    int SSL_SESSION_is_resumable(SSL_SESSION *);
    """
)
ssl = ffi.dlopen(os.environ.get("SESSTAB_LIBSSL") or ctypes.util.find_library("ssl") or "libssl.so.3")
crypto = ffi.dlopen(
    os.environ.get("SESSTAB_LIBCRYPTO") or ctypes.util.find_library("crypto") or "libcrypto.so.3"
)

VERSION = ffi.string(crypto.OpenSSL_version(0)).decode()

_caches = {}  # SSL_CTX address -> Cache, for the callbacks
_walked = []
_failures = []


def _failed(kind, exception, trace):
    _failures.append(exception)


def check_callbacks():
    """Raises what a callback raised: it cannot unwind through libssl."""
    if _failures:
        raise _failures.pop()


def _cache_of_ssl(s):
    return _caches[int(ffi.cast("uintptr_t", ssl.SSL_get_SSL_CTX(s)))]


@ffi.callback("void(void *, void *, void *, int, long, void *)")
def _session_freed(parent, name, ad, index, argl, argp):
    if name != ffi.NULL:
        Cache.freed.append(int(ffi.cast("uintptr_t", name)))


@ffi.callback("void(void *)")
def _walk(session):
    _walked.append(session)


@ffi.callback("int(SSL *, SSL_SESSION *)", onerror=_failed)
def _on_new(s, session):
    cache = _cache_of_ssl(s)
    cache._set_name(session, cache.new_name)
    return cache.on_new(session)


@ffi.callback("SSL_SESSION *(SSL *, const unsigned char *, int, int *)", onerror=_failed)
def _on_get(s, sid, length, copy):
    session, copy[0] = _cache_of_ssl(s).on_get(bytes(ffi.buffer(sid, length)))
    return session


@ffi.callback("void(SSL_CTX *, SSL_SESSION *)", onerror=_failed)
def _on_remove(ctx, session):
    _caches[int(ffi.cast("uintptr_t", ctx))].on_remove(session)


@ffi.callback("int(SSL *, unsigned char *, unsigned *)", onerror=_failed)
def _generate_id(s, sid, length):
    chosen = _cache_of_ssl(s).next_id
    ffi.memmove(sid, chosen, len(chosen))
    length[0] = len(chosen)
    return 1


@ffi.callback("unsigned(SSL *, const char *, char *, unsigned, unsigned char *, unsigned)")
def _psk_client(s, hint, identity, identity_max, key, key_max):
    ffi.memmove(identity, b"test\0", 5)
    ffi.memmove(key, b"k" * 16, 16)
    return 16


@ffi.callback("unsigned(SSL *, const char *, unsigned char *, unsigned)")
def _psk_server(s, identity, key, key_max):
    ffi.memmove(key, b"k" * 16, 16)
    return 16


_NAME_INDEX = crypto.CRYPTO_get_ex_new_index(
    _EX_INDEX_SESSION, 0, ffi.NULL, ffi.NULL, ffi.NULL, _session_freed
)
assert _NAME_INDEX > 0, "libcrypto gave no ex_data index"


def errors():
    """What libssl's error queue holds, and empties it."""
    texts, text = [], ffi.new("char[256]")
    while code := crypto.ERR_get_error():
        crypto.ERR_error_string_n(code, text, 256)
        texts.append(ffi.string(text).decode())
    return texts


def _client_hello(session_id, cipher):
    """A TLS 1.2 ClientHello record that offers `session_id` and one cipher suite; without extensions for PSK,
    with the two that an elliptic curve needs otherwise."""
    extensions = b""
    if cipher != PSK[1]:
        extensions = bytes.fromhex("000a00040002 0017000d00040002 0403")
        extensions = struct.pack(">H", len(extensions)) + extensions
    body = struct.pack(">H", TLS1_2) + bytes(32) + bytes([len(session_id)]) + session_id
    body += struct.pack(">HH", 2, cipher) + b"\x01\x00" + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + struct.pack(">HH", TLS1_2, len(message)) + message


def _new_ctx(cipher):
    ctx = ssl.SSL_CTX_new(ssl.TLS_method())
    assert ctx, errors()
    for ctrl in _SET_MIN_VERSION, _SET_MAX_VERSION:
        assert ssl.SSL_CTX_ctrl(ctx, ctrl, TLS1_2, ffi.NULL)
    # Tickets would take the place of ids; the handcrafted ClientHello has no extended master secret.
    ssl.SSL_CTX_set_options(ctx, _OP_NO_TICKET | _OP_NO_EXTENDED_MASTER_SECRET)
    assert ssl.SSL_CTX_set_cipher_list(ctx, cipher[0])
    ssl.SSL_CTX_set_psk_client_callback(ctx, _psk_client)
    ssl.SSL_CTX_set_psk_server_callback(ctx, _psk_server)
    ssl.SSL_CTX_set_generate_session_id(ctx, _generate_id)
    if cipher == CERTIFICATE:
        _use_certificate(ctx)
    return ctx


def _use_certificate(ctx):
    key = crypto.EVP_PKEY_Q_keygen(ffi.NULL, ffi.NULL, b"EC", ffi.new("char[]", b"P-256"))
    certificate = crypto.X509_new()
    for when in crypto.X509_getm_notBefore(certificate), crypto.X509_getm_notAfter(certificate):
        assert crypto.X509_gmtime_adj(when, 0)
    assert crypto.X509_set_pubkey(certificate, key) and crypto.X509_sign(
        certificate, key, crypto.EVP_sha256()
    )
    assert ssl.SSL_CTX_use_certificate(ctx, certificate) and ssl.SSL_CTX_use_PrivateKey(ctx, key), errors()
    crypto.X509_free(certificate)
    crypto.EVP_PKEY_free(key)


class Cache:
    """An SSL_CTX: its session cache. A session is an SSL_SESSION pointer and has a name, a number above 0."""

    freed: ClassVar = []  # names of the sessions whose last reference is gone; the reader empties it
    _bios: ClassVar = {}  # of an SSL: to it, from it

    def __init__(self, cipher=PSK):
        self.cipher = cipher
        self.next_id = b""
        self.new_name = 0
        self.ctx = _new_ctx(cipher)
        _caches[int(ffi.cast("uintptr_t", self.ctx))] = self
        self.peer = None  # the cache of the other side of handshakes
        self.peers_session = ffi.NULL
        # has_session needs an SSL that has negotiated its version, since libssl looks for version and id.
        self.probe = self._ssl(b"", server=True)
        self._offer(self.probe, b"")
        code = struct.pack(">H", cipher[1])
        self.suite = ssl.SSL_CIPHER_find(self.probe, code)
        assert self.suite

    def close(self):
        ssl.SSL_free(self.probe)
        ssl.SSL_CTX_free(self.ctx)
        del _caches[int(ffi.cast("uintptr_t", self.ctx))]
        ssl.SSL_SESSION_free(self.peers_session)
        if self.peer:
            self.peer.close()

    # ---- Callbacks: a test sets these; set_callbacks says which of them libssl knows.

    def on_new(self, session):
        return 0

    def on_get(self, sid):
        return ffi.NULL, 1

    def on_remove(self, session):
        pass

    def set_callbacks(self, new, get, remove):
        ssl.SSL_CTX_sess_set_new_cb(self.ctx, _on_new if new else ffi.NULL)
        ssl.SSL_CTX_sess_set_get_cb(self.ctx, _on_get if get else ffi.NULL)
        ssl.SSL_CTX_sess_set_remove_cb(self.ctx, _on_remove if remove else ffi.NULL)

    # ---- Sessions

    def new_session(self, name, sid, time, timeout, context=0):
        session = ssl.SSL_SESSION_new()
        key = bytes([name & 255]) * 48
        assert ssl.SSL_SESSION_set1_id(session, sid, len(sid))
        assert ssl.SSL_SESSION_set1_id_context(session, bytes([context]), 1)
        assert ssl.SSL_SESSION_set1_master_key(session, key, len(key))
        assert ssl.SSL_SESSION_set_cipher(session, self.suite)
        assert ssl.SSL_SESSION_set_protocol_version(session, TLS1_2)
        assert ssl.SSL_SESSION_set_timeout(session, timeout)
        ssl.SSL_SESSION_set_time(session, time)
        self._set_name(session, name)
        return session

    @staticmethod
    def _set_name(session, name):
        assert ssl.SSL_SESSION_set_ex_data(session, _NAME_INDEX, ffi.cast("void *", name))

    @staticmethod
    def name(session):
        return int(ffi.cast("uintptr_t", ssl.SSL_SESSION_get_ex_data(session, _NAME_INDEX)))

    @staticmethod
    def session_id(session):
        length = ffi.new("unsigned *")
        return bytes(ffi.buffer(ssl.SSL_SESSION_get_id(session, length), length[0]))

    up_ref = staticmethod(ssl.SSL_SESSION_up_ref)
    free = staticmethod(ssl.SSL_SESSION_free)
    session_time = staticmethod(ssl.SSL_SESSION_get_time)
    session_timeout = staticmethod(ssl.SSL_SESSION_get_timeout)
    set_session_time = staticmethod(ssl.SSL_SESSION_set_time)
    set_session_timeout = staticmethod(ssl.SSL_SESSION_set_timeout)
    is_resumable = staticmethod(ssl.SSL_SESSION_is_resumable)

    # ---- The cache

    def add_session(self, session):
        return ssl.SSL_CTX_add_session(self.ctx, session)

    def remove_session(self, session):
        return ssl.SSL_CTX_remove_session(self.ctx, session)

    def flush_sessions(self, now):
        """How many it removed: libssl does not say."""
        before = self.number
        ssl.SSL_CTX_flush_sessions(self.ctx, now)
        return before - self.number

    def has_session(self, sid):
        return ssl.SSL_has_matching_session_id(self.probe, sid, len(sid))

    def sessions(self):
        """All sessions in the cache, in no order."""
        _walked.clear()
        crypto.OPENSSL_LH_doall(ssl.SSL_CTX_sessions(self.ctx), _walk)
        return [ffi.cast("SSL_SESSION *", p) for p in _walked]

    def get_session(self, sid, context=0):
        """Offers `sid` to a server; the session that it resumes, with a reference, or None."""
        server = self._ssl(bytes([context]), server=True)
        self._offer(server, sid)
        session = ssl.SSL_get1_session(server) if ssl.SSL_session_reused(server) else None
        ssl.SSL_free(server)
        return session

    def handshake(
        self, name, sid, side=SESS_CACHE_SERVER, context=0, shut_down=True, resume=False, midway=None
    ):
        """A whole handshake, this cache on the side `side`; `sid` is the server's choice. The other side may
        resume its last session. `midway` is called with a server's session after its first answer.
        Returns this side's session, which has the name, with a reference."""
        if self.peer is None:
            self.peer = Cache(self.cipher)
            self.peer.mode = _NO_INTERNAL | SESS_CACHE_SERVER
        is_server = side == SESS_CACHE_SERVER
        self.next_id = self.peer.next_id = sid
        self.new_name = name
        mine = self._ssl(bytes([context]), is_server)
        other = self.peer._ssl(b"", not is_server)
        if resume:
            assert ssl.SSL_set_session(other, self.peers_session)
        self._run(mine, other, midway)
        assert ssl.SSL_session_reused(mine) == resume
        ssl.SSL_SESSION_free(self.peers_session)
        self.peers_session = ssl.SSL_get1_session(other)
        session = ssl.SSL_get1_session(mine)
        self._set_name(session, name)
        for s in mine, other:
            if shut_down:  # else SSL_free removes the session
                ssl.SSL_set_shutdown(s, _SENT_AND_RECEIVED_SHUTDOWN)
            ssl.SSL_free(s)
        return session

    def _run(self, a, b, midway):
        done = rounds = 0
        buffer = ffi.new("char[]", 8192)
        while done != 3:
            for bit, s, to in (1, a, b), (2, b, a):
                result = ssl.SSL_do_handshake(s)
                done |= bit if result == 1 else 0
                assert result == 1 or ssl.SSL_get_error(s, result) == _ERROR_WANT_READ, errors()
                while (n := crypto.BIO_read(self._bios[s][1], buffer, 8192)) > 0:
                    crypto.BIO_write(self._bios[to][0], buffer, n)
            rounds += 1
            if midway and rounds == 2:
                session = ssl.SSL_get1_session(a)
                midway(session)
                ssl.SSL_SESSION_free(session)
        del self._bios[a], self._bios[b]

    def _ssl(self, context, server):
        s = ssl.SSL_new(self.ctx)
        self._bios[s] = bios = crypto.BIO_new(crypto.BIO_s_mem()), crypto.BIO_new(crypto.BIO_s_mem())
        ssl.SSL_set_bio(s, *bios)
        assert ssl.SSL_set_session_id_context(s, context, len(context))
        (ssl.SSL_set_accept_state if server else ssl.SSL_set_connect_state)(s)
        return s

    def _offer(self, server, sid):
        self.next_id = os.urandom(32)  # for the new session of a miss, which no handshake will finish
        hello = _client_hello(sid, self.cipher[1])
        crypto.BIO_write(self._bios.pop(server)[0], hello, len(hello))
        result = ssl.SSL_do_handshake(server)
        assert ssl.SSL_get_error(server, result) == _ERROR_WANT_READ, errors()

    # ---- Settings and counters

    def counter(self, name):
        return ssl.SSL_CTX_ctrl(self.ctx, _COUNTERS[name], 0, ffi.NULL)

    number = property(lambda self: self.counter("number"))

    mode = property(
        lambda self: ssl.SSL_CTX_ctrl(self.ctx, _GET_CACHE_MODE, 0, ffi.NULL),
        lambda self, value: ssl.SSL_CTX_ctrl(self.ctx, _SET_CACHE_MODE, value, ffi.NULL),
    )
    cache_size = property(
        lambda self: ssl.SSL_CTX_ctrl(self.ctx, _GET_CACHE_SIZE, 0, ffi.NULL),
        lambda self, value: ssl.SSL_CTX_ctrl(self.ctx, _SET_CACHE_SIZE, value, ffi.NULL),
    )
    timeout = property(
        lambda self: ssl.SSL_CTX_get_timeout(self.ctx),
        lambda self, value: ssl.SSL_CTX_set_timeout(self.ctx, value),
    )
