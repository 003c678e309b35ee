"""Every text that the command line prints: one catalogue, in the order of the modules that use it.

Templates are filled in with `str.format`. Errors raised below the command line carry their own texts.
"""

# main

ABOUT = "A local replica of a Moat tenant."
EPILOG = """exit codes:
  0  success; for sync, everything has synced
  1  failure, or verify found and repaired differences
  2  invalid arguments or value; nothing was written
  3  server unreachable
  4  sync: some ops are still pending
  5  sync: up to date, but some edits need a decision (moat conflicts)

The replica file is --db FILE, $MOAT_DB, or ./moat.db.
All commands except login, sync, tail, and verify work offline.
For documents over SyncProtocol v1, see moat v1 --help.
"""
COMMANDS = {
    "login": "Sign in and register this replica as a device.",
    "sync": "Sync with the server: pull changes and push pending edits.",
    "tail": "Print changes as they arrive.",
    "verify": "Compare every table with the server and repair differences.",
    "objects": "List the published object types.",
    "ls": "List records.",
    "get": "Show one record.",
    "status": "Show sync status and pending edits.",
    "conflicts": "Show edits that need a decision.",
    "export": "Write records as JSON lines or CSV.",
    "add": "Add a record and print its ID.",
    "set": "Update fields of a record.",
    "rm": "Delete a record.",
    "resolve": "Resolve a conflict.",
    "retry": "Resend a rejected or parked edit.",
    "discard": "Discard an edit the server did not accept.",
}
OPTIONS = {
    "db": "replica file (default: $MOAT_DB or moat.db)",
    "json": "print JSON output",
    "password": "password (default: $MOAT_PASSWORD, or a prompt)",
    "token": "device token, instead of a password (default: $MOAT_TOKEN)",
    "device": "device name; with --token, the device ID",
    "insecure": "allow plain http to another machine, which anyone on the way can read",
    "sync once": "exit when up to date (default)",
    "sync follow": "keep syncing until interrupted",
    "reset": "replace local data with the server's; pending edits are kept",
    "timeout": "keep retrying for this long instead of failing at once",
    "lines": "first print the latest N changes",
    "tail follow": "run until interrupted (default)",
    "tail once": "exit when up to date",
    "where": "also FIELD__ne, __lt, __lte, __gt, __gte, __in, __like; repeatable",
    "order": "-FIELD sorts descending; repeatable",
    "values": "field=value (parsed by field kind), field:=JSON, or field= to clear",
    "number": "number shown by `moat conflicts`",
    "mine": "keep my change",
    "theirs": "discard my change and keep theirs",
    "edit": "save these values instead",
}
EXAMPLES = {
    "login": (
        "login http://localhost:8000 --tenant acme --user olga --password olga --db olga.db",
        "login https://moat.example --tenant acme --user olga        # prompts for the password",
        "login https://moat.example --tenant acme --token TOKEN --device DEVICE",
    ),
    "sync": ("sync --once --db olga.db", "sync --follow", "sync --once --reset"),
    "tail": ("tail", "tail --json | jq .table", "tail --lines 20", "tail --once"),
    "verify": ("verify", "verify --json"),
    "objects": ("objects", "objects --json"),
    "ls": (
        "ls jobs --where status=open --order -created_at --limit 20",
        "ls jobs --where price__gte=100 --where status__in=open,done",
        "ls object_metadata --columns id,table_name",
    ),
    "get": ("get jobs job-0001", "get jobs job-0001 --json"),
    "status": ("status", "status --json"),
    "conflicts": ("conflicts", "conflicts --json"),
    "export": ("export > all.jsonl", "export jobs --format csv --output jobs.csv"),
    "add": ("add jobs title='Fix the boiler' price=95 urgent=yes", "add jobs id=job-9 attrs:='{\"a\": 1}'"),
    "set": ("set jobs job-0001 status=done", "set jobs job-0001 note= price=12.50"),
    "rm": ("rm jobs job-0001",),
    "resolve": ("resolve 1 --mine", "resolve 1 --theirs", "resolve 1 --edit status=done"),
    "retry": ("retry 2", "retry 2 --edit status=open"),
    "discard": ("discard 2",),
}
EXAMPLES_HEAD = "examples:"

# output

ERROR = "moat: {message}"
YES = "yes"
NO = "no"

# arguments

NOT_A_PAIR = "{pair!r} is not in the form field=value."
NOT_JSON = "{name}: {text!r} is not valid JSON."
UNKNOWN_CONDITION = "{key}: unknown condition. Use one of {conditions}."

# reading

UNSYNCED = "This record has unsynced edits: {state}."
NOT_SIGNED_IN = "This replica is not signed in. Run: moat login URL --tenant T --user U"
STATUS_IDENTITY = "{now.tenant} at {now.url} as {now.user}, device {now.device}"
STATUS_POSITION = "cursor {now.cursor}, schema version {now.schema_version}"
SYNCING = "syncing: {state}"
NOT_SYNCING = "not syncing"
PENDING_ONE = "1 op pending"
PENDING_MANY = "{count} ops pending"
PENDING_NONE = "nothing pending"
NEED_DECISION = (
    "{now.problems} need a decision ({now.conflicts} in conflict, {now.rejected} rejected, {now.parked} parked). "
    "Run: moat conflicts"
)
NOTHING_TO_DECIDE = "Nothing needs a decision."
PROBLEM_HEAD = "{problem.n}  {problem.state}: {problem.op} {problem.table}/{problem.id}"
PROBLEM_MESSAGE = "   {problem.message}"
PROBLEM_RETRY = "   moat retry {n} [--edit field=value] · moat discard {n}"
PROBLEM_RESOLVE = "   moat resolve {n} --mine · --theirs · --edit field=value"
PROBLEM_FIELD = "   {name}:"
PROBLEM_BASE = "     was     {value}"
PROBLEM_MINE = "     mine    {value}"
PROBLEM_THEIRS = "     theirs  {value}  {who}"
PROBLEM_DELETED = "   deleted {who}"
PROBLEM_DELETED_HERE = "   changed {who}, deleted here"
BY = "by {user}"
AT = "at {time}"
DELETED_VALUE = "(deleted)"
EMPTY_VALUE = "(empty)"
CSV_ONE_TABLE = "CSV export needs exactly one table name."
EXPORTED = "Wrote {count} records to {file}"

# syncing

SIGNED_IN = "Signed in to {tenant} as {user}. Next: moat sync --db {db}"
NO_CREDENTIALS = "No password given. Use --password or MOAT_PASSWORD, or run in a terminal to be prompted."
PROMPT = "Password: "
CONNECTING = "connecting"
STATE = "{state} (cursor {cursor})"
STATE_BECAUSE = "{state}: {message} (cursor {cursor})"
RESOLVED_ELSEWHERE = "Conflict {problem.n} ({problem.table}/{problem.id}) was resolved elsewhere."
CHANGE = "{line.at} {line.cursor} {line.op} {line.table}/{line.id} v{line.version}{who} {what}"
CHANGE_BY = " by {user}"
STILL_PENDING = "{count} ops are still pending."
UP_TO_DATE_BUT = (
    "Up to date at cursor {status.cursor}, but {status.problems} edits need a decision. Run: moat conflicts"
)
UP_TO_DATE = "Up to date at cursor {status.cursor}, schema version {status.schema_version}."
REPAIRED = "Repaired tables that differed: {tables}."
VERIFIED = "All {found.records} records match the server at cursor {found.cursor}."

# writing

NO_CHANGE = "No change: the record already has these values."
NO_PROBLEM = "No problem number {n}. Run moat conflicts to list them."
PROBLEM_RESULT = "Number {n}: {result}."
RESOLVED = "resolved; will be sent at the next sync"
PENDING_AGAIN = "pending again"
DISCARDED = "discarded"

# v1

V1_ABOUT = "Sync documents over SyncProtocol v1."
V1_EPILOG = """examples:
  moat v1 put notes n1 title=Milk done:=false
  moat v1 get notes n1
  moat v1 sync --url https://moat.example --db-id acme --device DEVICE --token-file token.txt
  moat v1 watch

Get a device and token from POST /api/login or from Devices in the admin. After the first successful sync, the store
remembers the options, except the token: pass --token-file FILE or $MOAT_V1_TOKEN.
The store is --db FILE, $MOAT_V1_DB, or ./moat-v1.db. All commands except sync and watch work offline.
exit codes: 0 success, 1 failure, 2 invalid arguments, 3 server unreachable, 5 up to date, but some ops were rejected
"""
V1_COMMANDS = {
    "sync": "Pull, push, and compact once.",
    "watch": "Keep syncing and print events.",
    "put": "Store a document, replacing any existing one.",
    "get": "Show one document, or every document in a collection.",
    "rm": "Delete a document.",
    "status": "Show sync status.",
    "conflicts": "Show conflicts and rejected ops.",
}
V1_OPTIONS = {
    "db": "store file (default: %(default)s)",
    "json": "print JSON output",
    "url": "server URL, https://…",
    "db_id": "database ID: the tenant's slug",
    "device": "device ID the token belongs to",
    "token_file": "file that contains the device token (default: $MOAT_V1_TOKEN)",
    "resolver": "how to resolve conflicting edits (default: server-wins)",
    "collection": "table name, such as notes",
    "values": "KEY=TEXT or KEY:=JSON; - reads a JSON object from standard input",
    "clear": "clear the list and undo rejected edits",
}
V1_NO_CREDENTIALS = "a token (--token-file or $MOAT_V1_TOKEN)"
V1_MISSING = "Missing: {missing}. See moat v1 --help."
V1_UNREADABLE = "Can't read {file}: {problem}."
V1_SYNCED = "Pulled {done.pulled}, pushed {done.pushed}, {done.conflicts} conflicts. Cursor {cursor}."
V1_REJECTED_COUNT = "Rejected by the server: {count}. Run: moat v1 conflicts"
V1_SYNCING = "Syncing with {url}. Press Ctrl-C to stop."
V1_PULLED = "Pulled {count}."
V1_PUSHED = "Pushed {count}."
V1_RESYNC = "The server has pruned this store's position. Downloading everything again."
V1_CONFLICT = "Conflict on {collection} {id}: kept {kept}."
V1_REJECTED = "{collection} {id} was rejected: {message}"
V1_STANDARD_INPUT = "standard input"
V1_NOT_AN_OBJECT = "Standard input must contain a JSON object."
V1_CANNOT_STORE = "Can't store this document: {problem}"
V1_EMPTY_COLLECTION = "{name} is empty. Collections: {names}."
V1_NO_COLLECTIONS = "none yet"
V1_NOT_FOUND = "{id} not found in {collection}."
V1_DELETED = "Deleted {id}."
V1_OUTCOME_REJECTED = "rejected: {message}"
V1_NOTHING_TO_SHOW = "No conflicts and no rejected ops."
