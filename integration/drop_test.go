package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store/storetest"
)

const chat = "/group/1/chat"

var errInjected = errors.New("injected")

func adapter(t *testing.T, b sdsaws.Backend, namespace string) *sdsaws.Adapter {
	t.Helper()
	a, err := sdsaws.New(b, &sdsaws.Options{Namespace: namespace, GroupSize: 1}) // each message is archived by itself
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) }) // it may be fenced
	return a
}

// noise returns bytes that don't compress much.
func noise(n int, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return b
}

// snapshot is one that is too large for an item, and names a message.
func snapshot(clock int64) *sds.ChannelMeta {
	return &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: clock, OutgoingRepairBuffer: []sds.OutgoingRepair{{
		MessageID:    "buffered",
		HistoryEntry: sds.HistoryEntry{MessageID: "buffered", RetrievalHint: noise(100<<10, 9)},
	}}}
}

// busy makes a channel that has something of everything that is ever stored of one:
// messages in the log, evicted and archived ones, large ones and a large snapshot, staged
// leftovers, and hints of all its messages.
func busy(t *testing.T, b onAWS, namespace string) {
	t.Helper()
	f := &storetest.Faulty{}
	a := adapter(t, sdsaws.Backend{Log: f.Log(b.Log), Hints: b.hints, Archive: b.archive}, namespace)
	for round := range 3 {
		u := &sds.HistoryUpdate{}
		for i := range 30 {
			id := fmt.Sprint("m", 30*round+i)
			u.Append = append(u.Append, sds.Message{MessageID: id, Content: []byte(id)})
			u.Evict = append(u.Evict, fmt.Sprint("m", 30*round+i-20))
		}
		u.Append = append(u.Append, sds.Message{MessageID: fmt.Sprint("large", round), Content: noise(100<<10, uint32(round))})
		if err := a.Commit(t.Context(), chat, snapshot(int64(round)), u); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Sweep(t.Context(), chat, nil); err != nil {
			t.Fatal(err)
		}
	}
	hints := []string{"buffered", "large0", "large1"}
	for i := range 90 {
		hints = append(hints, fmt.Sprint("m", i))
	}
	for _, id := range append(hints, "of another channel") {
		if err := a.SetRetrievalHint(t.Context(), id, []byte("hint of "+id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Hook = func(op string, _ int) storetest.Fault {
		if op == "Commit" {
			return storetest.Fault{Refuse: errInjected}
		}
		return storetest.Fault{}
	}
	u := &sds.HistoryUpdate{}
	for i := range 150 {
		u.Append = append(u.Append, sds.Message{MessageID: fmt.Sprint("staged", i)})
	}
	if err := a.Commit(t.Context(), chat, snapshot(8), u); !errors.Is(err, errInjected) {
		t.Fatal(err)
	}
}

// stored counts what is stored, by kind: items of the state table by what their sort keys
// begin with, hints, versions and delete markers.
func (o onAWS) stored(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	client := dynamodb.NewFromConfig(cfg)
	for table, kind := range map[string]func(map[string]types.AttributeValue) string{
		o.names + "-state": func(it map[string]types.AttributeValue) string {
			return it["sk"].(*types.AttributeValueMemberS).Value[:2]
		},
		o.names + "-hints": func(map[string]types.AttributeValue) string { return "hint" },
	} {
		pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table})
		for pages.HasMorePages() {
			out, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range out.Items {
				n[kind(it)]++
			}
		}
	}
	pages := s3.NewListObjectVersionsPaginator(newS3(), &s3.ListObjectVersionsInput{Bucket: &o.bucket})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range out.Versions {
			folder, _, _ := strings.Cut(*v.Key, "/")
			n[folder]++
		}
		for range out.DeleteMarkers {
			n["delete marker"]++
		}
	}
	return n
}

// TestADropLeavesNothingOnAWS lists both tables and all versions in the bucket after a
// drop, and after one that failed at each of its writes and was repeated.
func TestADropLeavesNothingOnAWS(t *testing.T) {
	b := resources(t, nil)
	emptied := map[string]int{"n#": 1, "hint": 1} // the head, the hint of another channel
	busy(t, b, "alice")
	full := b.stored(t)
	if full["m#"] < 150 || full["s#"] < 2 || full["hint"] != 94 || full["segments"] < 2 || full["values"] < 3 {
		t.Fatalf("there is not something of everything: %v", full)
	}
	if err := adapter(t, b.backend(), "alice").DropChannel(t.Context(), chat); err != nil {
		t.Fatal(err)
	}
	if got := b.stored(t); !maps.Equal(got, emptied) {
		t.Fatalf("a drop leaves %v of %v", got, full)
	}

	var steps []string
	for n := 1; ; n++ {
		busy(t, b, "alice")
		f := &storetest.Faulty{}
		broken := adapter(t, sdsaws.Backend{Log: f.Log(b.Log), Hints: f.Hints(b.hints), Archive: f.Archive(b.archive)}, "alice")
		f.Hook = func(op string, i int) storetest.Fault {
			if i != n {
				return storetest.Fault{}
			}
			steps = append(steps, op)
			return storetest.Fault{Lose: errInjected}
		}
		err := broken.DropChannel(t.Context(), chat)
		if f.Writes() < n {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if !errors.Is(err, errInjected) {
			t.Fatalf("write %d: %v", n, err)
		}
		// Used at once, by a new process, whatever is left; then dropped again.
		a := adapter(t, b.backend(), "alice")
		update := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: "new"}}}
		if err := a.Commit(t.Context(), chat, snapshot(7), update); err != nil {
			t.Fatalf("write %d (%s): a commit after it: %v", n, steps[n-1], err)
		}
		d, err := adapter(t, b.backend(), "alice").LoadChannel(t.Context(), chat)
		if err != nil || !slices.ContainsFunc(d.MessageHistory, func(m sds.Message) bool { return m.MessageID == "new" }) {
			t.Fatalf("write %d (%s): a load after it: %d messages, %v", n, steps[n-1], len(d.MessageHistory), err)
		}
		if err := adapter(t, b.backend(), "alice").DropChannel(t.Context(), chat); err != nil {
			t.Fatalf("write %d (%s): a repeat: %v", n, steps[n-1], err)
		}
		if got := b.stored(t); !maps.Equal(got, emptied) {
			t.Fatalf("write %d (%s): the repeat leaves %v", n, steps[n-1], got)
		}
	}
	for _, op := range []string{"Claim", "Commit", "DeleteHints", "Delete", "DeleteSegments", "Unstage", "Archive.Delete"} {
		if !slices.Contains(steps, op) {
			t.Errorf("no write %s was lost: %q", op, steps)
		}
	}
	t.Logf("lost in turn: %q", steps)
}
