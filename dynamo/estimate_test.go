package dynamo

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// TestEstimatesByHand holds the estimate against what AWS's formulas give for the same
// requests. Of the channel "channel" in the namespace "ns", by hand:
//
//	a message   names pk sk i l b: 7; "ns/channel" 10, "m#" and 16 digits 18, a Lamport
//	            timestamp of one digit 2: 37, its id and its body
//	staged      name st and a commit id: 18 more
//	a head      names pk sk ns c e w r o s n b: 13; "ns/channel" 10, "n#" 2, "ns" 2, commit id 16,
//	            four numbers of one digit 8: 51, and its body
//	a manifest  names pk sk t b: 6; "ns/channel" 10, "s#" and 16 digits 18, one digit 2: 36,
//	            and its body
func TestEstimatesByHand(t *testing.T) {
	ctx := t.Context()
	var used []string
	e := Estimate(&storetest.Memory{}, func(u Usage) {
		used = append(used, fmt.Sprintf("%d %s for %s: %d written, %d read",
			u.Requests, u.Operation, u.Purpose, u.WriteUnits, u.ReadUnits))
	})
	body := func(n int) []byte { return make([]byte, n) }
	msg := func(offset uint64, bytes int) store.Message {
		return store.Message{Offset: offset, ID: "id", Body: body(bytes)}
	}
	first := store.Head{CommitID: store.CommitID{1}, Next: 3, Body: body(2000)}  // 2051 bytes
	second := store.Head{CommitID: store.CommitID{2}, Next: 3, Body: body(2000)} // 2051 bytes
	segment := store.Segment{From: 0, To: 2, Body: body(1100)}                   // 1136 bytes
	thirty := make([]store.Hint, 30)                                             // 3 + 5 and 1 + 1100 bytes
	for i := range thirty {
		thirty[i] = store.Hint{MessageID: fmt.Sprintf("%02d", i), Value: body(1100)}
	}
	ids := []string{"00", "01", "00"}
	for _, c := range []struct {
		what string
		call func() error
		want []string
	}{
		{"commit", func() error {
			// 2051, 1039, 6039 and 139 bytes: 3, 2, 6 and 1 KB, twice.
			return e.Commit(ctx, key, store.CommitID{}, first, []store.Message{msg(0, 1000), msg(1, 6000), msg(2, 100)})
		}, []string{"1 TransactWriteItems for commits: 24 written, 0 read"}},
		{"page", func() error { // 7217 bytes
			_, _, err := e.Page(ctx, key, 0, 3)
			return err
		}, []string{"1 Query for loads: 0 written, 2 read"}},
		{"empty page", func() error {
			_, _, err := e.Page(ctx, key, 3, 3)
			return err
		}, nil},
		{"find", func() error { // 7217 bytes and 2051: all that is looked through
			_, found, err := e.Find(ctx, key, "another")
			if len(found) > 0 {
				return fmt.Errorf("found %d", len(found))
			}
			return err
		}, []string{"1 Query for loads: 0 written, 3 read"}},
		{"stage", func() error {
			// 1024 and 1025 bytes, and a check of the head of 2051: 1, 2 and 3 KB, twice.
			return e.Stage(ctx, key, first.CommitID, []store.Message{msg(5, 1024-39-18), msg(6, 1025-39-18)})
		}, []string{"1 TransactWriteItems for commits: 12 written, 0 read"}},
		{"head", func() error { return e.Commit(ctx, key, first.CommitID, second, nil) },
			[]string{"1 PutItem for commits: 3 written, 0 read"}},
		{"unstage", func() error { return e.Unstage(ctx, key) },
			[]string{"1 GetItem for loads: 0 written, 1 read", "1 Query for deletes: 0 written, 1 read",
				"1 GetItem for loads: 0 written, 1 read",
				"1 DeleteItem for deletes: 1 written, 0 read", "1 DeleteItem for deletes: 2 written, 0 read"}},
		{"unstage nothing", func() error { return e.Unstage(ctx, key) },
			[]string{"1 GetItem for loads: 0 written, 1 read", "1 Query for deletes: 0 written, 1 read"}},
		{"add segment", func() error { return e.AddSegment(ctx, key, 0, segment) }, // 2 and 3 KB, twice
			[]string{"1 TransactWriteItems for manifests: 10 written, 0 read"}},
		{"replace segment", func() error { return e.ReplaceSegment(ctx, key, segment) },
			[]string{"1 PutItem for manifests: 2 written, 0 read"}},
		{"segments", func() error {
			_, err := e.Segments(ctx, key, 0, 100)
			return err
		}, []string{"1 Query for loads: 0 written, 1 read"}},
		{"last segment", func() error {
			_, err := e.LastSegment(ctx, key, 100)
			return err
		}, []string{"1 Query for loads: 0 written, 1 read"}},
		{"delete", func() error { return e.Delete(ctx, key, 0, 2) }, // 1039 and 6039 bytes
			[]string{"1 Query for deletes: 0 written, 2 read", "1 BatchWriteItem for deletes: 8 written, 0 read"}},
		{"delete nothing", func() error { return e.Delete(ctx, key, 0, 2) },
			[]string{"1 Query for deletes: 0 written, 1 read"}},
		{"delete segments", func() error { return e.DeleteSegments(ctx, key, 1) },
			[]string{"1 Query for deletes: 0 written, 1 read", "1 BatchWriteItem for deletes: 2 written, 0 read"}},
		{"set hints", func() error { return e.SetHints(ctx, "ns", thirty, 0) },
			[]string{"2 BatchWriteItem for hints: 60 written, 0 read"}},
		{"hints", func() error {
			_, err := e.Hints(ctx, "ns", ids)
			return err
		}, []string{"1 BatchGetItem for hints: 0 written, 2 read"}},
		{"delete hints", func() error { return e.DeleteHints(ctx, "ns", ids) },
			[]string{"1 BatchWriteItem for hints: 2 written, 0 read"}},
	} {
		used = nil
		if err := c.call(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if slices.Sort(used); !slices.Equal(used, slices.Sorted(slices.Values(c.want))) {
			t.Errorf("%s:\n%s\nwant:\n%s", c.what, strings.Join(used, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
