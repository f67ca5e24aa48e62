"""Where a request to a server may lead, and what may come back."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent_kernel.mcp.http import open_client

HELLO = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"


@asynccontextmanager
async def answering(
    answer: bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server with one answer for everybody: its port, and what it was asked."""
    heads: list[bytes] = []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


def certificate(folder: Path) -> Path:
    """One for `localhost` that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


async def test_a_certificate_is_checked_for_the_name_although_the_address_is_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    async with answering(HELLO, tls) as (port, heads):
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
        url = f"https://localhost:{port}/mcp"
        async with open_client(url, {}, private=True) as client:
            assert (await client.get(url)).text == "hello"
        assert f"Host: localhost:{port}".encode().lower() in heads[0].lower()
        async with open_client(f"https://127.0.0.1:{port}/", {}, private=True) as client:
            with pytest.raises(httpx2.ConnectError, match="certificate"):
                await client.get(f"https://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0.0.0.0", "169.254.169.254"]
)
async def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    async with open_client(f"http://{host}:9/", {}, private=False) as client:
        with pytest.raises(httpx2.ConnectError, match=r"is a private address|is not known here"):
            await client.get(f"http://{host}:9/")


async def test_a_public_servers_login_does_not_lead_into_this_network() -> None:
    assert ipaddress.ip_address("93.184.215.14").is_global
    async with answering(HELLO) as (port, heads):
        async with open_client("http://93.184.215.14/mcp", {}, private=True) as client:
            with pytest.raises(httpx2.ConnectError, match=r"127\.0\.0\.1 is a private address"):
                await client.get(f"http://127.0.0.1:{port}/.well-known/oauth-authorization-server")
        assert heads == []


async def test_a_compressed_answer_is_refused_it_could_be_endless() -> None:
    packed = HELLO.replace(b"content-type", b"content-encoding: gzip\r\ncontent-type")
    async with answering(packed) as (port, heads):
        url = f"http://127.0.0.1:{port}/"
        async with open_client(url, {}, private=True) as client:
            with pytest.raises(httpx2.ReadError, match="compressed its answer"):
                await client.get(url)
        assert b"accept-encoding: identity" in heads[0].lower()
