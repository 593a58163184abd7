"""Home Assistant's core with its MQTT integration, controlled over stdin.

Run by an interpreter that has the packages `homeassistant` and `paho-mqtt`, which are heavy and
want a newer Python than streamwatch does, so nothing of streamwatch is imported here.

    python home_assistant_main.py FOLDER BROKER_PORT WEB_PORT [AUTOMATIONS.yaml]

One JSON request a line in, one JSON answer a line out: `{"do": "states"}`, `{"do": "devices"}`,
`{"do": "call", "service": "switch.turn_on", "entity": …}`, `{"do": "calls"}`. The log goes to
stderr.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.helpers import device_registry, entity_registry
from homeassistant.setup import async_setup_component


async def start(folder: str, broker_port: int, web_port: int) -> core.HomeAssistant:
    """Without the web interface, recorder and the like, which the tests don't need."""
    (Path(folder) / "configuration.yaml").touch()  # which the MQTT integration reads
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    http = {"server_host": "127.0.0.1", "server_port": web_port}
    assert await async_setup_component(hass, "http", {"http": http})
    assert await async_setup_component(hass, "homeassistant", {})
    if not hass.config_entries.async_entries("mqtt"):
        entry = config_entries.ConfigEntry(
            data={"broker": "127.0.0.1", "port": broker_port},
            discovery_keys=MappingProxyType({}),
            domain="mqtt",
            minor_version=2,
            options={},
            source="user",
            subentries_data=(),
            title="broker",
            unique_id=None,
            version=1,
        )
        await hass.config_entries.async_add(entry)
    else:
        assert await async_setup_component(hass, "mqtt", {})
    return hass


def collect_calls(hass: core.HomeAssistant) -> list[dict[str, Any]]:
    """Collect the calls of automations to `notify.mobile_app_phone`."""
    calls: list[dict[str, Any]] = []

    async def notify(call: core.ServiceCall) -> None:
        calls.append({"service": f"{call.domain}.{call.service}", **call.data})

    hass.services.async_register("notify", "mobile_app_phone", notify)
    return calls


def states(hass: core.HomeAssistant) -> dict[str, Any]:
    return {
        state.entity_id: {"state": state.state, "attributes": dict(state.attributes)}
        for state in hass.states.async_all()
    }


def devices(hass: core.HomeAssistant) -> list[dict[str, Any]]:
    registry = device_registry.async_get(hass)
    entities = entity_registry.async_get(hass)
    return [
        {
            "name": device.name,
            "via": None if via is None else via.name,
            "entities": sorted(
                entity.entity_id
                for entity in entity_registry.async_entries_for_device(entities, device.id)
            ),
            "unique_ids": sorted(
                entity.unique_id
                for entity in entity_registry.async_entries_for_device(entities, device.id)
            ),
        }
        for device in registry.devices.values()
        for via in [registry.async_get(device.via_device_id) if device.via_device_id else None]
    ]


async def answer(hass: core.HomeAssistant, calls: list[dict[str, Any]], request: Any) -> Any:
    await hass.async_block_till_done(wait_background_tasks=False)
    match request:
        case {"do": "states"}:
            return states(hass)
        case {"do": "devices"}:
            return devices(hass)
        case {"do": "calls"}:
            return calls
        case {"do": "call", "service": service, "entity": entity}:
            domain, name = service.split(".")
            await hass.services.async_call(domain, name, {"entity_id": entity}, blocking=True)
            return None
        case {"do": "picture", "entity": entity}:
            picture = await hass.data["image"].get_entity(entity).async_image()
            return None if picture is None else len(picture)
    raise ValueError(f"unknown request {request}")


async def main(folder: str, broker_port: str, web_port: str, automations: str = "") -> None:
    hass = await start(folder, int(broker_port), int(web_port))
    calls = collect_calls(hass)
    if automations:
        written = yaml.safe_load(await asyncio.to_thread(Path(automations).read_text))
        assert await async_setup_component(hass, "automation", {"automation": written})
    await hass.async_start()
    print(json.dumps("started"), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(hass, calls, json.loads(line)), default=str), flush=True)
    await hass.async_stop(force=True)


logging.basicConfig(level=logging.INFO, stream=sys.stderr)
asyncio.run(main(*sys.argv[1:]))
