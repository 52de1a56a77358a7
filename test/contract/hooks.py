"""What schemathesis is told beside the document; `run.ts` names this file to it."""

import os

import schemathesis

SHORT_HASH = os.environ["CORDAGE_SHORT_HASH"]
VIRTUAL_NODES = ("holdingidentityshorthash", "virtualnodeshortid", "holdingidentityid", "tenantid")

# What Corda's server answers beyond the statuses of its document: successes without a value, and refusals.
REAL_STATUSES = ("201", "202", "204")
REFUSALS = ("400", "404", "405", "409", "413", "414", "415", "429")


@schemathesis.hook
def before_load_schema(context, raw_schema):
    # A reference that is not required may be null, as Corda writes it; OpenAPI 3.0 lets no `nullable` stand beside a `$ref`.
    for shape in raw_schema["components"]["schemas"].values():
        for name, value in shape.get("properties", {}).items():
            if "$ref" in value and name not in shape.get("required", []):
                shape["properties"][name] = {"allOf": [dict(value)], "nullable": True}
    if os.environ.get("CORDAGE_DOCUMENT") != "contract":
        return
    for path in raw_schema["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            success = responses.get("200", responses.get("201", responses.get("202")))
            for status in REAL_STATUSES:
                responses.setdefault(status, {"description": ""} if status == "204" else success)
            for status in REFUSALS:
                responses.setdefault(status, {"description": ""})


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    # Half of the requests are for a virtual node that there is.
    for name in VIRTUAL_NODES:
        value = (path_parameters or {}).get(name)
        if isinstance(value, str) and len(value) % 2 == 0:
            path_parameters[name] = SHORT_HASH
    return path_parameters
