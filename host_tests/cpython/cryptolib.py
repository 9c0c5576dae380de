"""MicroPython's cryptolib on CPython, as far as snapshots use it, so that their tests with keys run there."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

CBC = 2


class aes:
    def __init__(self, key, mode, vector):
        if mode != CBC:
            raise ValueError(f"mode is {mode}, only CBC ({CBC}) is here")
        self._cipher = Cipher(algorithms.AES(bytes(key)), modes.CBC(bytes(vector)))

    def encrypt(self, text, out):
        out[:] = self._cipher.encryptor().update(bytes(text))

    def decrypt(self, text, out):
        out[:] = self._cipher.decryptor().update(bytes(text))
