from .client import Client as Client
from .transport import ServerError as ServerError
