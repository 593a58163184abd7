"""A paho client that logs in and encrypts as the settings say."""

from __future__ import annotations

import ssl

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from streamwatch.config import MqttSettings
from streamwatch.tls import client_context


def make_client(
    settings: MqttSettings, version: MQTTProtocolVersion, client_id: str = "", *, retry: bool = True
) -> Client:
    """Not connected yet. Raises BadFile if a file of `mqtt.tls` has become unusable."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version is MQTTProtocolVersion.MQTTv5 else True,
        protocol=version,
        reconnect_on_failure=retry,
    )
    if settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else None
        client.username_pw_set(settings.username, password)
    if (files := settings.tls_files) is not None:
        context = client_context(files.ca, files.certificate, files.key)
        context.sslsocket_class = _Line
        client.tls_set_context(context)
    return client


class _Line(ssl.SSLSocket):
    """Closes itself if the TLS handshake fails; paho does not."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise
