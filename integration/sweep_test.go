package integration_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
)

// appendAndEvict appends messages one commit each and keeps the last of them as history.
func appendAndEvict(t *testing.T, a *sdsaws.Adapter, from, n, keep int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i),
			ChannelID: chat, Content: noise(500, uint32(i))}}, Evict: []string{fmt.Sprint("m", i-keep)}}
		if err := a.Commit(t.Context(), chat, &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: int64(i)}, u); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSweepersAtOnce: several sweep a channel whose owner commits and archives, and a
// reader sees all of it at any time.
func TestSweepersAtOnce(t *testing.T) {
	b := resources(t, nil)
	owner, err := sdsaws.New(b.backend(), &sdsaws.Options{Namespace: "alice", ArchiveMessages: 40, GroupSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	appendAndEvict(t, owner, 0, 60, 20)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 {
		sweeper := adapter(t, b.backend(), "alice")
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := sweeper.Sweep(t.Context(), chat, nil); err != nil {
					t.Errorf("sweep: %v", err)
					return
				}
			}
		})
	}
	reader := adapter(t, b.backend(), "alice")
	all.Go(func() {
		for ctx.Err() == nil {
			i := 0
			for m, err := range reader.History(t.Context(), chat, sdsaws.HistoryRange{}) {
				if err != nil || m.MessageID != fmt.Sprint("m", i) {
					t.Errorf("History: message %d is %q, %v", i, m.MessageID, err)
					return
				}
				i++
			}
		}
	})
	appendAndEvict(t, owner, 60, 140, 20)
	stop()
	all.Wait()
	if _, err := owner.Sweep(t.Context(), chat, nil); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for m, err := range owner.History(t.Context(), chat, sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}) {
		if err != nil {
			t.Fatal(err)
		}
		got[m.MessageID]++
	}
	want := map[string]int{}
	for i := range 180 {
		want[fmt.Sprint("m", i)] = 1
	}
	if !maps.Equal(got, want) {
		t.Fatalf("archived: %d ids: %v", len(got), got)
	}
	if n := b.stored(t); n["m#"] != 20 || n["s#"] != n["segments"] {
		t.Fatalf("stored: %v", n)
	}
}

// requests counts what is sent, by operation.
type requests struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *requests) add(op string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n > 0 {
		r.n[op] += n
	}
}

// taken returns the counts since the last call.
func (r *requests) taken() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.n
	r.n = map[string]int{}
	return n
}

// counting returns a backend on the tables of o that counts its requests.
func (o onAWS) counting() (sdsaws.Backend, *requests) {
	r := &requests{n: map[string]int{}}
	client := dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
	options := &dynamo.Options{OnUsage: func(u dynamo.Usage) { r.add(u.Operation, u.Requests) }}
	return sdsaws.Backend{
		Log:   dynamo.NewLog(client, o.names+"-state", options),
		Hints: dynamo.NewHints(client, o.names+"-hints", options),
		Archive: s3archive.New(newS3(), o.bucket,
			&s3archive.Options{OnUsage: func(u s3archive.Usage) { r.add(u.Operation, 1) }}),
	}, r
}

// TestAMessageTakesFewRequests counts the requests that Message sends.
func TestAMessageTakesFewRequests(t *testing.T) {
	b, sent := resources(t, nil).counting()
	a := adapter(t, b, "alice")
	for round := range 3 {
		appendAndEvict(t, a, 40*round, 40, 20)
		if _, err := a.Sweep(t.Context(), chat, nil); err != nil {
			t.Fatal(err)
		}
	}
	other := adapter(t, b, "alice")
	for name, c := range map[string]struct {
		reader *sdsaws.Adapter
		id     string
		want   map[string]int
	}{
		"hot, by its holder":    {a, "m119", map[string]int{"BatchGetItem": 1}},
		"hot, by another":       {other, "m119", map[string]int{"Query": 1}},
		"archived, by another":  {other, "m3", map[string]int{"Query": 2, "GetItem": 1, "GetObject": 1}},
		"archived, by a holder": {a, "m70", map[string]int{"Query": 2, "GetItem": 1, "GetObject": 1}},
	} {
		sent.taken()
		m, err := c.reader.Message(t.Context(), chat, c.id)
		if err != nil || m.MessageID != c.id {
			t.Errorf("%s: %q, %v", name, m.MessageID, err)
		}
		if got := sent.taken(); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if _, err := other.Message(t.Context(), chat, "none"); !errors.Is(err, sds.ErrNotFound) {
		t.Errorf("%v, want ErrNotFound", err)
	}
	if got, want := sent.taken(), map[string]int{"Query": 2, "GetItem": 1}; !maps.Equal(got, want) {
		t.Errorf("no such message: %v, want %v", got, want)
	}
}

// TestLargeUpdatesAreStaged commits, in one call, more than a transaction can hold.
func TestLargeUpdatesAreStaged(t *testing.T) {
	b, sent := resources(t, nil).counting()
	for name, c := range map[string]struct{ messages, bytes, most int }{
		"many messages": {300, 100, 5},
		"many bytes":    {120, 50 << 10, 4},
	} {
		a, err := sdsaws.New(b, &sdsaws.Options{Namespace: name, InlineBytes: 100 << 10})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.LoadChannel(t.Context(), chat); err != nil {
			t.Fatal(err)
		}
		u := &sds.HistoryUpdate{}
		want := map[[32]byte]bool{}
		for i := range c.messages {
			m := sds.Message{MessageID: fmt.Sprint("m", i), Content: noise(c.bytes, uint32(i))}
			u.Append = append(u.Append, m)
			encoded, err := m.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			want[sha256.Sum256(encoded)] = true
		}
		sent.taken()
		if err := a.Commit(t.Context(), chat, &sds.ChannelMeta{SchemaVersion: 1}, u); err != nil {
			t.Fatal(err)
		}
		if n := sent.taken(); n["TransactWriteItems"] < 2 || n["TransactWriteItems"] > c.most || n["PutItem"] != 1 {
			t.Errorf("%s: sent %v", name, n)
		}
		d, err := adapter(t, b, name).LoadEncodedChannel(t.Context(), chat)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range d.Messages {
			delete(want, sha256.Sum256(m))
		}
		if len(d.Messages) != c.messages || len(want) > 0 {
			t.Errorf("%s: %d of %d messages came back, %d not as they were", name, len(d.Messages), c.messages, len(want))
		}
	}
}

// TestMessagesOf900KBAreArchived: they go through the archive as values and end in a segment,
// byte for byte, and their values go.
func TestMessagesOf900KBAreArchived(t *testing.T) {
	b := resources(t, nil)
	a := adapter(t, b.backend(), "alice")
	want := map[string][32]byte{}
	for i := range 6 {
		m := sds.Message{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i), Content: noise(900<<10, uint32(i))}
		encoded, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		want[m.MessageID] = sha256.Sum256(encoded)
		u := &sds.HistoryUpdate{Append: []sds.Message{m}, Evict: []string{fmt.Sprint("m", i-2)}}
		if err := a.Commit(t.Context(), chat, snapshot(int64(i)), u); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := a.Archive(t.Context(), chat); err != nil || done.Messages != 4 || done.Segments != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	archived := 0
	for m, err := range adapter(t, b.backend(), "alice").History(t.Context(), chat, sdsaws.HistoryRange{}) {
		if err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(m.Encoded) != want[m.MessageID] {
			t.Errorf("%s is not as it was", m.MessageID)
		}
		delete(want, m.MessageID)
		if !m.ArchivedAt.IsZero() {
			archived++
		}
	}
	if len(want) > 0 || archived != 4 {
		t.Errorf("%d are missing, %d archived", len(want), archived)
	}
	if err := a.Flush(t.Context()); err != nil { // which waits for deletions
		t.Fatal(err)
	}
	if n := b.stored(t); n["values"] != 3 || n["delete marker"] > 0 { // two messages, the snapshot
		t.Errorf("stored: %v", n)
	}
}
