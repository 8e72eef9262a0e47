package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/embedded"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// instances makes participants of one namespace.
type instances struct {
	backend sdsaws.Backend
	pending int64 // Options.MaxPending
	log     bytes.Buffer
}

func newInstances(t *testing.T) *instances {
	t.Helper()
	s, err := embedded.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &instances{backend: sdsaws.Backend{Log: s, Hints: s, Archive: s.Archive()}}
}

func (i *instances) start(t *testing.T) *participant {
	t.Helper()
	p, options, err := newParticipant(slog.New(slog.NewJSONHandler(&i.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	options.Namespace, options.MaxPending = "alice", i.pending
	a, err := sdsaws.New(i.backend, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(context.Background()) }) // it may be fenced
	p.adapter = a
	return p
}

// history returns the ids that are stored, by which an instance that comes later goes on.
func (i *instances) history(t *testing.T, channel string) (ids []string) {
	t.Helper()
	data, err := i.start(t).adapter.LoadChannel(t.Context(), channel)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range data.MessageHistory {
		ids = append(ids, m.MessageID)
	}
	return ids
}

// record is a message as the queue delivers it.
func record(t *testing.T, channel, id string, lamport int64) events.SQSMessage {
	t.Helper()
	b, err := (&sds.Message{MessageID: id, LamportTimestamp: lamport, ChannelID: channel, Content: []byte("hello")}).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return events.SQSMessage{MessageId: "sqs-" + id, Body: base64.StdEncoding.EncodeToString(b)}
}

func failures(r events.SQSEventResponse) (ids []string) {
	for _, f := range r.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return ids
}

// TestWhatIsAnsweredIsStored, once however often it is delivered.
func TestWhatIsAnsweredIsStored(t *testing.T) {
	all := newInstances(t)
	p := all.start(t)
	e := events.SQSEvent{Records: []events.SQSMessage{record(t, "a", "m1", 1), record(t, "b", "m2", 2), record(t, "a", "m3", 3)}}
	for range 2 {
		if r, err := p.handle(t.Context(), e); err != nil || len(r.BatchItemFailures) > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if got := all.history(t, "a"); !slices.Equal(got, []string{"m1", "m3"}) {
		t.Errorf("a: %q", got)
	}
	if got := all.history(t, "b"); !slices.Equal(got, []string{"m2"}) {
		t.Errorf("b: %q", got)
	}
}

// TestInstancesTakeTurns on one channel: who was fenced loads what the other has stored, and
// nothing of either is lost.
func TestInstancesTakeTurns(t *testing.T) {
	all := newInstances(t)
	one, other := all.start(t), all.start(t)
	var want []string
	for i := range 6 {
		p := one
		if i%2 == 1 {
			p = other
		}
		id := fmt.Sprint("m", i)
		want = append(want, id)
		if r, err := p.handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record(t, "a", id, int64(i))}}); err != nil ||
			len(r.BatchItemFailures) > 0 {
			t.Fatalf("%s: %+v, %v", id, r, err)
		}
	}
	if got := all.history(t, "a"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if n := strings.Count(all.log.String(), `"msg":"channel lost"`); n != 4 {
		t.Errorf("the log tells of %d changes of hands, want 4", n)
	}
}

// TestAFailureIsOfItsChannel: messages of others are answered for.
func TestAFailureIsOfItsChannel(t *testing.T) {
	all := newInstances(t)
	memory := &failing{Log: all.backend.Log, channel: "bad"}
	all.backend.Log = memory
	p := all.start(t)
	e := events.SQSEvent{Records: []events.SQSMessage{record(t, "bad", "m1", 1), record(t, "good", "m2", 2)}}
	r, err := p.handle(t.Context(), e)
	if got := failures(r); err != nil || !slices.Equal(got, []string{"sqs-m1"}) {
		t.Fatalf("%q, %v", got, err)
	}
	memory.channel = ""
	if r, err := p.handle(t.Context(), events.SQSEvent{Records: e.Records[:1]}); err != nil || len(r.BatchItemFailures) > 0 {
		t.Errorf("delivered again: %+v, %v", r, err)
	}
	if got := all.history(t, "bad"); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("%q", got)
	}
}

type failing struct {
	store.Log
	channel string
}

func (f *failing) Load(ctx context.Context, key store.Key, from uint64) (*store.Head, []store.Message, error) {
	if key.Channel == f.channel {
		return nil, nil, errors.New("injected")
	}
	return f.Log.Load(ctx, key, from)
}

// TestWhatCameBeforeAFailureIsAnswered: when no more is accepted, the messages before are stored,
// and the others come again.
func TestWhatCameBeforeAFailureIsAnswered(t *testing.T) {
	all := newInstances(t)
	all.pending = 5000
	p := all.start(t)
	var e events.SQSEvent
	var want []string
	for i := range 30 {
		want = append(want, fmt.Sprint("m", i))
		e.Records = append(e.Records, record(t, "a", want[i], int64(i)))
	}
	deliveries := 0
	for ; len(e.Records) > 0; deliveries++ {
		r, err := p.handle(t.Context(), e)
		n := len(e.Records) - len(r.BatchItemFailures)
		if err != nil || n == 0 {
			t.Fatalf("delivery %d: %d stored, %v", deliveries, n, err)
		}
		e.Records = e.Records[n:]
		for i, id := range failures(r) {
			if id != e.Records[i].MessageId {
				t.Fatalf("delivery %d: %q, which aren't the last", deliveries, failures(r))
			}
		}
	}
	if got := all.history(t, "a"); deliveries < 3 || !slices.Equal(got, want) {
		t.Errorf("after %d deliveries %q", deliveries, got)
	}
}

// TestManyChannelsAreNotAllKept, and those that were given up go on from what is stored.
func TestManyChannelsAreNotAllKept(t *testing.T) {
	all := newInstances(t)
	p := all.start(t)
	const channels = maxChats + 20
	for round := range 2 {
		for i := range channels {
			e := events.SQSEvent{Records: []events.SQSMessage{record(t, fmt.Sprint("c", i), fmt.Sprint("m", round), int64(round))}}
			if r, err := p.handle(t.Context(), e); err != nil || len(r.BatchItemFailures) > 0 {
				t.Fatalf("%+v, %v", r, err)
			}
			if n := len(p.chats); n > maxChats {
				t.Fatalf("%d channels are in memory", n)
			}
		}
		if p.chats[fmt.Sprint("c", channels-1)] == nil || p.chats["c0"] != nil {
			t.Error("it has not kept the last and given up the first")
		}
	}
	for _, c := range []string{"c0", "c60", "c119"} {
		if got := all.history(t, c); !slices.Equal(got, []string{"m0", "m1"}) {
			t.Errorf("%s: %q", c, got)
		}
	}
}

// TestErrorsOfAFlushAreOfChannels, as far as they are.
func TestErrorsOfAFlushAreOfChannels(t *testing.T) {
	other := errors.New("hints")
	a := &sds.ChannelError{Op: "flush", Channel: "a", Err: sds.ErrFenced}
	b := fmt.Errorf("around: %w", &sds.ChannelError{Op: "flush", Channel: "b\xff", Err: sds.ErrUnknownOutcome})
	failed, rest := byChannel(errors.Join(a, b, errors.Join(nil, other)))
	if len(failed) != 2 || !errors.Is(failed["a"], sds.ErrFenced) || !errors.Is(failed["b\xff"], sds.ErrUnknownOutcome) ||
		!errors.Is(rest, other) {
		t.Errorf("%v, %v", failed, rest)
	}
	if failed, rest := byChannel(nil); len(failed) != 0 || rest != nil {
		t.Errorf("of nil: %v, %v", failed, rest)
	}
}

// TestTheHistoryIsBounded: what leaves it is evicted, and so archived.
func TestTheHistoryIsBounded(t *testing.T) {
	c := newChat(&sds.ChannelData{MessageHistory: []sds.Message{{MessageID: "first"}}})
	for i := range maxHistory {
		u := c.receive(sds.Message{MessageID: fmt.Sprint(i), LamportTimestamp: int64(2 * i)})
		evicts := i == maxHistory-1
		if len(u.Append) != 1 || evicts != slices.Equal(u.Evict, []string{"first"}) {
			t.Fatalf("message %d: %+v", i, u)
		}
	}
	if c.meta.LamportTimestamp != 2*maxHistory-2 || c.receive(sds.Message{MessageID: "7"}) != nil {
		t.Errorf("%+v", c.meta)
	}
}

// TestThereIsTimeToAnswer, a quarter of what is left where that is little.
func TestThereIsTimeToAnswer(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{time.Minute: time.Second, time.Second: time.Second / 4} {
		ctx, stop := context.WithTimeout(t.Context(), timeout)
		work, end := beforeDeadline(ctx)
		deadline, _ := ctx.Deadline()
		at, ok := work.Deadline()
		if left := deadline.Sub(at); !ok || left > want || left < want/2 {
			t.Errorf("of %v %v are left, want %v", timeout, left, want)
		}
		end()
		stop()
	}
}

// TestTheEnvironmentIsReadFirst: what isn't set is named, all of it.
func TestTheEnvironmentIsReadFirst(t *testing.T) {
	_, err := open(t.Context(), func(string) string { return "" }, slog.New(slog.DiscardHandler))
	for _, name := range []string{"SDSAWS_STATE_TABLE", "SDSAWS_HINTS_TABLE", "SDSAWS_BUCKET", "SDSAWS_NAMESPACE"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error doesn't name %s: %v", name, err)
		}
	}
}

// TestARegionIsTheFunctionsOwn, or each channel that is new would be at home where nobody is.
func TestARegionIsTheFunctionsOwn(t *testing.T) {
	for region, wrong := range map[string]bool{"": false, "eu-central-1": false, "eu-centrall-1": true, "us-east-1": true} {
		_, err := open(t.Context(), func(name string) string {
			return map[string]string{"SDSAWS_REGION": region, "AWS_REGION": "eu-central-1"}[name]
		}, slog.New(slog.DiscardHandler))
		if told := strings.Contains(fmt.Sprint(err), "SDSAWS_REGION"); told != wrong {
			t.Errorf("%q: %v", region, err)
		}
	}
}
