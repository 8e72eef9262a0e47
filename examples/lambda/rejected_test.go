package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
)

// small has DynamoDB's limit of an item, which an id may pass.
type small struct{ store.Log }

func (s small) Limits(key store.Key) store.Limits {
	l := s.Log.Limits(key)
	l.MessageBytes = 400_000
	return l
}

// poison is a message of channel a that can never be stored.
func poison(t *testing.T, name string) events.SQSMessage {
	t.Helper()
	r := record(t, "a", strings.Repeat("x", 420_000), 99)
	r.MessageId = name
	return r
}

// TestAMessageThatIsTooLargeFailsAlone: those before and behind it in its channel are stored,
// and nothing of it is, its snapshot neither.
func TestAMessageThatIsTooLargeFailsAlone(t *testing.T) {
	all := newInstances(t)
	all.backend.Log = small{all.backend.Log}
	p := all.start(t)
	e := events.SQSEvent{Records: []events.SQSMessage{record(t, "a", "m1", 1), poison(t, "poison"),
		record(t, "a", "m3", 3), record(t, "b", "m4", 4), poison(t, "again")}}
	for range 3 {
		r, err := p.handle(t.Context(), e)
		if got := failures(r); err != nil || !slices.Equal(got, []string{"poison", "again"}) {
			t.Fatalf("%q, %v", got, err)
		}
	}
	data, err := all.start(t).adapter.LoadChannel(t.Context(), "a")
	if err != nil || data.Meta.LamportTimestamp != 3 {
		t.Errorf("snapshot at %d, %v; want 3", data.Meta.LamportTimestamp, err)
	}
	if got := all.history(t, "a"); !slices.Equal(got, []string{"m1", "m3"}) {
		t.Errorf("%q", got)
	}
	if r, err := p.handle(t.Context(), events.SQSEvent{Records: e.Records[1:2]}); !errors.Is(err, sds.ErrTooLarge) {
		t.Errorf("alone: %+v, %v", r, err)
	}
	if n := strings.Count(all.log.String(), "xxxxx"); n > 0 {
		t.Error("the log shows the id")
	}
}

// TestARejectedMessageLosesNothingOfOthers: another instance takes the channel over while there is
// accepted what came before it.
func TestARejectedMessageLosesNothingOfOthers(t *testing.T) {
	all := newInstances(t)
	all.backend.Log = small{all.backend.Log}
	one, other := all.start(t), all.start(t)
	var want []string
	for i := range 6 {
		p := one
		if i%2 == 1 {
			p = other
		}
		before, behind := fmt.Sprint("before", i), fmt.Sprint("behind", i)
		want = append(want, before, behind)
		r, err := p.handle(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record(t, "a", before, int64(i)),
			poison(t, "poison"), record(t, "a", behind, int64(i))}})
		if got := failures(r); err != nil || !slices.Equal(got, []string{"poison"}) {
			t.Fatalf("%d: %q, %v", i, got, err)
		}
	}
	if got := all.history(t, "a"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// unreadable is records that hold no message of a channel.
func unreadable(t *testing.T) []events.SQSMessage {
	t.Helper()
	return []events.SQSMessage{{MessageId: "no base64", Body: "secret!"}, {MessageId: "no message", Body: "c2VjcmV0"},
		record(t, "", "no channel", 1)}
}

// TestARecordThatCantBeReadFailsAlone, and is told to the queue, which gives it up some time.
func TestARecordThatCantBeReadFailsAlone(t *testing.T) {
	all := newInstances(t)
	p := all.start(t)
	bad := unreadable(t)
	good := record(t, "a", "m1", 1)
	for i := range bad {
		bad[i].Attributes = map[string]string{"MessageGroupId": "a"}
	}
	good.Attributes = bad[0].Attributes
	r, err := p.handle(t.Context(), events.SQSEvent{Records: append(slices.Clone(bad), good)})
	if got := failures(r); err != nil || !slices.Equal(got, []string{"no base64", "no message", "sqs-no channel"}) {
		t.Errorf("%q, %v", got, err)
	}
	if got := all.history(t, "a"); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("%q", got)
	}
	if _, err := p.handle(t.Context(), events.SQSEvent{Records: bad}); err == nil {
		t.Error("nothing was stored, and no error says so")
	}
	if strings.Contains(all.log.String(), "secret") || strings.Contains(all.log.String(), "c2VjcmV0") {
		t.Errorf("the log shows content: %s", all.log.String())
	}
}

// sent is a queue that keeps what is sent.
type sent struct {
	messages []*sqs.SendMessageInput
	fails    error
}

func (s *sent) SendMessage(_ context.Context, in *sqs.SendMessageInput, _ ...func(*sqs.Options)) (*sqs.SendMessageOutput, error) {
	if s.fails != nil {
		return nil, s.fails
	}
	s.messages = append(s.messages, in)
	return &sqs.SendMessageOutput{}, nil
}

// TestWhatIsRejectedIsMoved as it came, and the queue is done with it; where that fails it isn't.
func TestWhatIsRejectedIsMoved(t *testing.T) {
	for _, url := range []string{"https://sqs/rejected", "https://sqs/rejected.fifo"} {
		all := newInstances(t)
		all.backend.Log = small{all.backend.Log}
		p, queue := all.start(t), &sent{fails: errors.New("denied")}
		p.rejected = &rejectedQueue{queue, url}
		bad := append(unreadable(t), poison(t, "poison"))
		bad[3].Attributes = map[string]string{"MessageGroupId": "g"}
		e := events.SQSEvent{Records: append(slices.Clone(bad), record(t, "a", "m1", 1))}
		if r, err := p.handle(t.Context(), e); err != nil || len(r.BatchItemFailures) != len(bad) {
			t.Errorf("not moved: %q, %v", failures(r), err)
		}
		queue.fails = nil
		if r, err := p.handle(t.Context(), e); err != nil || len(r.BatchItemFailures) != 0 {
			t.Errorf("moved: %q, %v", failures(r), err)
		}
		if len(queue.messages) != len(bad) {
			t.Fatalf("%d are moved, want %d", len(queue.messages), len(bad))
		}
		for i, m := range queue.messages {
			group, id := "", ""
			if strings.HasSuffix(url, ".fifo") {
				group, id = []string{"no base64", "no message", "sqs-no channel", "g"}[i], bad[i].MessageId
			}
			if *m.QueueUrl != url || *m.MessageBody != bad[i].Body || aws.ToString(m.MessageGroupId) != group ||
				aws.ToString(m.MessageDeduplicationId) != id {
				t.Errorf("message %d: group %q, id %q", i, aws.ToString(m.MessageGroupId), aws.ToString(m.MessageDeduplicationId))
			}
		}
	}
}

// TestAGroupKeepsItsOrder: after a failure that may pass, what is behind it in its group is
// delivered again, too, whatever its channel; what was before it is answered for.
func TestAGroupKeepsItsOrder(t *testing.T) {
	all := newInstances(t)
	memory := &failing{Log: all.backend.Log, channel: "bad"}
	all.backend.Log = memory
	p := all.start(t)
	in := func(group, channel, id string) events.SQSMessage {
		r := record(t, channel, id, 1)
		r.Attributes = map[string]string{"MessageGroupId": group}
		return r
	}
	e := events.SQSEvent{Records: []events.SQSMessage{in("g", "a", "m1"), in("g", "bad", "m2"), in("h", "b", "m3"),
		in("g", "a", "m4"), in("g", "bad", "m5")}}
	r, err := p.handle(t.Context(), e)
	if got := failures(r); err != nil || !slices.Equal(got, []string{"sqs-m2", "sqs-m4", "sqs-m5"}) {
		t.Fatalf("%q, %v", got, err)
	}
	memory.channel = ""
	e.Records = []events.SQSMessage{e.Records[1], e.Records[3], e.Records[4]}
	if r, err := p.handle(t.Context(), e); err != nil || len(r.BatchItemFailures) > 0 {
		t.Errorf("delivered again: %q, %v", failures(r), err)
	}
	for channel, want := range map[string][]string{"a": {"m1", "m4"}, "bad": {"m2", "m5"}, "b": {"m3"}} {
		if got := all.history(t, channel); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", channel, got, want)
		}
	}
}
