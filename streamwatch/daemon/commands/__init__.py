"""What is asked over MQTT."""
