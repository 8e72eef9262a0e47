package sdstest

import (
	"bytes"
	"fmt"
)

// hints expects that s has the hints want, and none of absent ids.
func (e *env) hints(s Store, want map[string]string, absent ...string) {
	e.Helper()
	ids := absent
	for id := range want {
		ids = append(ids, id, id)
	}
	got, err := s.Hints(e.ctx, ids...)
	e.ok(err)
	for id, hint := range want {
		if h, ok := got[id]; !ok || string(h) != hint {
			e.Errorf("the hint of %s is %q (there: %v), want %q", clip([]byte(id)), h, ok, hint)
		}
	}
	if len(got) != len(want) {
		e.Errorf("%d hints, want %d", len(got), len(want))
	}
}

func (e *env) hint(s Store, id, hint string) {
	e.Helper()
	e.ok(s.SetRetrievalHint(e.ctx, id, []byte(hint)))
}

func hintsComeBack(e *env) {
	s := e.open()
	e.hints(s, nil)
	e.hints(s, nil, "a", "b")
	e.hint(s, "a", "first")
	e.hint(s, "b", "first")
	e.hints(s, map[string]string{"a": "first", "b": "first"}, "d")
	e.hint(s, "a", "second")
	e.hints(s, map[string]string{"a": "second"})
	e.ok(s.Flush(e.ctx))
	e.hints(s, map[string]string{"a": "second", "b": "first"}, "d")

	s = e.open()
	want := map[string]string{"a": "second", "b": "first"}
	e.hints(s, want, "d")
	e.hint(s, "b", "second")
	e.hint(s, "b", "first") // as it was
	e.hint(s, "a", "third")
	e.hint(s, "a", "third")
	e.ok(s.Flush(e.ctx))
	want["a"] = "third"
	e.hints(e.open(), want, "d")
	if e.offers&closing != 0 {
		e.hint(s, "a", "fourth")
		e.ok(s.Close(e.ctx))
		e.hints(e.open(), map[string]string{"a": "fourth"})
	}
}

// hostileHints sets more hints than one request of DynamoDB takes.
func hostileHints(e *env) {
	s := e.open()
	want := map[string]string{"": "of the empty id", "empty": "", "zero": "\x00", "bytes": "\xff\xfe\x00",
		"long": string(bytes.Repeat([]byte("long"), 1<<10))}
	for i, id := range hostileIDs {
		want[id] = fmt.Sprint("hint ", i)
	}
	for id, hint := range want {
		e.hint(s, id, hint)
	}
	e.hints(s, want, "absent")
	e.ok(s.Flush(e.ctx))
	e.hints(s, want, "absent")
	e.hints(e.open(), want, "absent")
	e.ok(s.SetRetrievalHint(e.ctx, "long", nil))
	want["long"] = ""
	e.hints(s, want)
	e.ok(s.Flush(e.ctx))
	e.hints(e.open(), want)
}
