"""The lab: a workbench in the browser, whose every number comes from this library.

How it is put together, and how a page is added:

    pages.py     PAGES, the pages in the order of the menu: the only list of them on this side
    server.py    the application: the built page, the WebSocket /socket, the routes of the pages; and serve()
    guard.py     who may ask: Host, Origin, token; the security headers of every answer
    protocol.py  Page, Method, Request, Client, Lab: what a page module is written with
    roles.py     a class: its limits, and who is counted; hall.py, its part of every page
    crew.py      processes that answer the students; answering.py, what they run
    wire.py      the types of the fields of requests and answers
    choices.py   the table of choices that every page gets
    page/        the built page, made from web/ by `make web`; never edited by hand

A page is one module here that holds `PAGE = Page(name, methods, routes)`, a line in PAGES, and one module in
web/src/pages/ with a line in web/src/pages.ts. Nothing else knows the pages.

- The browser sends {"id": 7, "method": "scores.explain", "params": {...}} as text over the WebSocket, and gets
  {"id": 7, "result": ...} or {"id": 7, "error": "one sentence"}. A method is called `<page>.<name>`. It is a
  `Method(Record, handler)`: the params are read into the record, and handler(client, record) returns another record.
  NumPy arrays and numbers are turned into lists, NaN and infinity into null. The handler runs in a thread of its own,
  and may take its time; a LinprobeError becomes the error's sentence.
- The server sends {"event": "train.epoch", "data": ...} when it likes: `client.send(event, data)` to one page,
  `lab.broadcast(event, data)` to all, from any thread.
- The types of a record's fields say what is accepted: `reg: NotNegative`, `loss: Annotated[str, Registered("loss")]`.
  What differs, a field that the record does not have included, is refused in one line. `__post_init__` compares fields
  with each other.
- `make types` writes the records as TypeScript into web/src/protocol.ts: scripts declare none of their own, and `call`,
  `request`, `stream` and `hear` take the types of the method or event from there.
- The first event on every connection is {"event": "choices"}: the losses, penalties, ... with their titles,
  formulas and parameters (choices.py). The page lists no choices of its own.
- What lasts longer than a request is a service: `client.lab.service(Trainer)` is the one `Trainer(lab)`, made when
  it is first asked for; its `close()`, if it has one, is called when the server ends.
- In a class, a page is closed to students unless it says `for_students=True`: its methods then compute from their
  requests alone, in milliseconds, and read, keep and start nothing.
- Whatever starts something, or takes a file, goes over the WebSocket or a POST: the guard has then seen that the
  request comes from our own page. A GET only reads.
- Drags send at most one request at a time, the latest state wins (`stream` in web/src/socket.ts), so that no queue
  grows. Grids travel as base64 of uint8 (`packed`).

Starlette, uvicorn and websockets are the extra `lab`; nothing else in linprobe imports them.
"""
