"""The addresses, in groups; one file each, with an APIRouter called `router`."""
