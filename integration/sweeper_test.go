package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/internal/handclock"
	"github.com/sdsaws/sdsaws/sds"
)

const overdue = 8 // messages that a channel has evicted, long ago

// evicted makes channels that nobody archives, by a clock that is years behind: so they are due.
func (o onAWS) evicted(t *testing.T, namespace string, channels ...string) {
	t.Helper()
	a, err := sdsaws.New(o.backend(), &sdsaws.Options{Namespace: namespace, GroupSize: 1, Clock: handclock.New()})
	if err != nil {
		t.Fatal(err)
	}
	u := &sds.HistoryUpdate{}
	for i := range overdue + 1 {
		m := sds.Message{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i), ChannelID: chat, Content: []byte("hush")}
		u.Append = append(u.Append, m)
		if i < overdue {
			u.Evict = append(u.Evict, m.MessageID)
		}
	}
	for _, c := range channels {
		if err := a.Commit(t.Context(), c, &sds.ChannelMeta{SchemaVersion: 1, LamportTimestamp: overdue}, u); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// archived returns how many messages of a channel are in segments, each once.
func (o onAWS) archived(t *testing.T, namespace, channel string) (n int) {
	t.Helper()
	seen := map[string]bool{}
	for m, err := range adapter(t, o.backend(), namespace).History(t.Context(), channel, sdsaws.HistoryRange{Part: sdsaws.ArchivedHistory}) {
		if err != nil || seen[m.MessageID] {
			t.Fatalf("%s %s: %q, %v", namespace, channel, m.MessageID, err)
		}
		seen[m.MessageID] = true
	}
	return len(seen)
}

// swept is what an invocation has answered, and the metrics that it has written.
type swept struct {
	Namespaces, Channels, Failures int
	metrics                        map[string]float64
}

func (f *function) sweep(timeout time.Duration) (s swept, failed error) {
	f.t.Helper()
	before := len(f.out())
	a := f.invoke(map[string]string{"source": "aws.events"}, timeout)
	if a.Error != nil {
		failed = a.Error
	} else if err := json.Unmarshal(a.Payload, &s); err != nil {
		f.t.Errorf("%s: %v", a.Payload, err)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(f.out()[before:]), &line); err != nil {
		f.t.Errorf("metrics: %v", err)
	}
	s.metrics = map[string]float64{}
	for name, value := range line {
		if n, ok := value.(float64); ok {
			s.metrics[name] = n
		}
	}
	return s, failed
}

// TestTheSweeperFindsAllNamespaces, archives what is due, and tells what it did.
func TestTheSweeperFindsAllNamespaces(t *testing.T) {
	b := resources(t, nil)
	b.evicted(t, "alice", "a")
	b.evicted(t, "bob/\xff", "b", strings.Repeat("long", 600))
	f := b.start(t, "sweeper", *cfg.BaseEndpoint)
	s, err := f.sweep(inTime)
	if err != nil || s.Namespaces != 2 || s.Channels != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	for namespace, channel := range map[string]string{"alice": "a", "bob/\xff": strings.Repeat("long", 600)} {
		if n := b.archived(t, namespace, channel); n != overdue {
			t.Errorf("%q: %d messages are archived", namespace, n)
		}
	}
	if m := s.metrics; m["SweptChannels"] != 3 || m["SweepFailures"] != 0 || m["ArchiveLagMessages"] != 0 {
		t.Errorf("metrics %v", m)
	}
}

// TestTheSweeperGoesOnWhereItStopped: another process does, by what is in the table. The first is
// held at its second channel, for as long as its time goes, and is killed then.
func TestTheSweeperGoesOnWhereItStopped(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	b.evicted(t, "alice", "c1", "c2", "c3")
	_, release := g.hold(t, "PUT", 1, false)
	first := b.start(t, "sweeper", g.URL, "SDSAWS_NAMESPACES=alice")
	if s, err := first.sweep(16 * time.Second); err != nil || s.Channels != 1 || s.Namespaces != 0 {
		t.Fatalf("held at the second: %+v, %v", s, err)
	}
	first.signal(syscall.SIGKILL)
	<-first.exited
	release()

	// The second one was given up for this round, unless all of the time was over before.
	next := b.start(t, "sweeper", *cfg.BaseEndpoint, "SDSAWS_NAMESPACES=alice")
	if s, err := next.sweep(inTime); err != nil || s.Channels < 1 || s.Channels > 2 || s.Namespaces != 1 {
		t.Errorf("to the end of the round: %+v, %v", s, err)
	}
	if s, err := next.sweep(inTime); err != nil || s.Channels != 3 || s.Namespaces != 1 {
		t.Errorf("from the first again: %+v, %v", s, err)
	}
	for _, c := range []string{"c1", "c2", "c3"} {
		if n := b.archived(t, "alice", c); n != overdue {
			t.Errorf("%s: %d messages are archived", c, n)
		}
	}
}

// TestSIGTERMEndsASweeper at once, also in the midst of a channel: it has no handler, for it has nothing
// in memory that another couldn't do again. The next goes on, and finds nothing amiss.
func TestSIGTERMEndsASweeper(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	b.evicted(t, "alice", "c1", "c2")
	h, release := g.hold(t, "PUT", 1, true)
	first := b.start(t, "sweeper", g.URL)
	ctx, stop := context.WithCancel(t.Context())
	var answer sync.WaitGroup
	answer.Go(func() {
		if a, err := first.api.Invoke(ctx, map[string]string{}, inTime); err == nil {
			t.Errorf("it answers: %+v", a)
		}
	})
	<-h.reached
	if first.api.Registered() {
		t.Error("an extension is registered, which lengthens its end")
	}
	first.signal(syscall.SIGTERM)
	<-first.exited
	stop()
	answer.Wait()
	release()

	if s, err := b.start(t, "sweeper", *cfg.BaseEndpoint).sweep(inTime); err != nil || s.Channels != 2 || s.Namespaces != 1 {
		t.Errorf("the next: %+v, %v", s, err)
	}
	for _, c := range []string{"c1", "c2"} {
		if n := b.archived(t, "alice", c); n != overdue {
			t.Errorf("%s: %d messages are archived", c, n)
		}
		found, err := adapter(t, b.backend(), "alice").Check(t.Context(), c, nil)
		if err != nil || len(found.Findings) > 0 {
			t.Errorf("%s: %+v, %v", c, found, err)
		}
	}
}

// TestSweepersThatOverlap do each other no harm.
func TestSweepersThatOverlap(t *testing.T) {
	b := resources(t, nil)
	namespaces := []string{"alice", "bob"}
	for _, namespace := range namespaces {
		b.evicted(t, namespace, "c1", "c2")
	}
	var both sync.WaitGroup
	for range 2 {
		f := b.start(t, "sweeper", *cfg.BaseEndpoint)
		both.Go(func() {
			for range 2 {
				if s, err := f.sweep(inTime); err != nil {
					t.Errorf("%+v, %v", s, err)
				}
			}
		})
	}
	both.Wait()
	for _, namespace := range namespaces {
		for _, c := range []string{"c1", "c2"} {
			if n := b.archived(t, namespace, c); n != overdue {
				t.Errorf("%s %s: %d messages are archived", namespace, c, n)
			}
			found, err := adapter(t, b.backend(), namespace).Check(t.Context(), c, nil)
			if err != nil || len(found.Findings) > 0 {
				t.Errorf("%s %s: %+v, %v", namespace, c, found, err)
			}
		}
	}
}

// TestANamespaceThatFailsStopsNoOther, and is the error of the invocation, without any content.
func TestANamespaceThatFailsStopsNoOther(t *testing.T) {
	b := resources(t, nil)
	namespaces := []string{"a\xff", "b", "c"}
	for _, namespace := range namespaces {
		b.evicted(t, namespace, "c1")
	}
	if _, err := dynamodb.NewFromConfig(cfg).DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(b.names + "-state"),
		Key: map[string]ddb.AttributeValue{"pk": &ddb.AttributeValueMemberS{Value: "a%FF/c1"},
			"sk": &ddb.AttributeValueMemberS{Value: "m#0000000000000000"}},
	}); err != nil {
		t.Fatal(err)
	}
	f := b.start(t, "sweeper", *cfg.BaseEndpoint, "AWS_SECRET_ACCESS_KEY=planted-key", "AWS_SESSION_TOKEN=planted-token")
	s, err := f.sweep(inTime)
	if err == nil || !strings.Contains(err.Error(), "1 failures, 2 channels swept") || !strings.Contains(err.Error(), `"c1"`) {
		t.Errorf("%v", err)
	}
	if m := s.metrics; m["SweepFailures"] != 1 || m["SweptChannels"] != 2 || m["ArchiveLagMessages"] != overdue {
		t.Errorf("metrics %v", m)
	}
	for _, namespace := range namespaces[1:] {
		if n := b.archived(t, namespace, "c1"); n != overdue {
			t.Errorf("%s: %d messages are archived", namespace, n)
		}
	}
	log := f.log() + f.out()
	if !strings.Contains(log, `\"a\\xff\"`) {
		t.Errorf("the log doesn't name the namespace: %s", log)
	}
	for _, secret := range []string{"hush", "\xff", "planted"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
}
