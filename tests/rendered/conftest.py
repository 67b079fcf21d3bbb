from tests.integration.conftest import fresh, goods

__all__ = ["fresh", "goods"]
