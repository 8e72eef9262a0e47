package integration_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sdsaws/sdsaws/internal/runtimeapi"
	"github.com/sdsaws/sdsaws/sds"
)

const inTime = time.Minute // what a function has where its deadline isn't what is tested

func (o onAWS) participant(t *testing.T, endpoint string) *function {
	t.Helper()
	return o.start(t, "participant", endpoint, "SDSAWS_NAMESPACE=alice")
}

// batchOf is what a queue hands to a participant: messages of one channel.
func batchOf(t *testing.T, ids ...int) events.SQSEvent {
	t.Helper()
	var e events.SQSEvent
	for _, i := range ids {
		m := sds.Message{MessageID: fmt.Sprint("m", i), LamportTimestamp: int64(i), ChannelID: chat, Content: []byte("hello")}
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		e.Records = append(e.Records, events.SQSMessage{MessageId: m.MessageID, Body: base64.StdEncoding.EncodeToString(b)})
	}
	return e
}

// accepts invokes a participant, which must answer for all messages.
func accepts(t *testing.T, f *function, ids ...int) {
	t.Helper()
	a := f.invoke(batchOf(t, ids...), inTime)
	var r events.SQSEventResponse
	if a.Error != nil {
		t.Fatalf("messages %v: %v", ids, a.Error)
	}
	if err := json.Unmarshal(a.Payload, &r); err != nil || len(r.BatchItemFailures) > 0 {
		t.Fatalf("messages %v: %s, %v", ids, a.Payload, err)
	}
}

// expectHistory expects that messages are stored, once each, and no others. It takes the channel over.
func (o onAWS) expectHistory(t *testing.T, ids ...int) {
	t.Helper()
	data, err := adapter(t, o.backend(), "alice").LoadChannel(t.Context(), chat)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range data.MessageHistory {
		got = append(got, m.MessageID)
	}
	for _, i := range ids {
		want = append(want, fmt.Sprint("m", i))
	}
	if !slices.Equal(got, want) || data.Meta.LamportTimestamp != int64(slices.Max(ids)) {
		t.Errorf("history %q at %d, want %q", got, data.Meta.LamportTimestamp, want)
	}
}

// TestAColdStartWarmsAndLoads: connections are there when the first invocation comes, which loads the
// channel; later ones don't.
func TestAColdStartWarmsAndLoads(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	f := b.participant(t, g.URL)
	<-f.api.Ready()
	if got := slices.Sorted(slices.Values(g.seen())); !slices.Equal(got, []string{"GET", "GetItem"}) {
		t.Errorf("before the first invocation: %q", got)
	}
	if !f.api.Registered() {
		t.Error("no extension is registered: Lambda sends no SIGTERM")
	}
	accepts(t, f, 1, 2)
	loads := func() (n int) {
		for _, op := range g.seen() {
			if op == "Query" {
				n++
			}
		}
		return n
	}
	if n := loads(); n != 1 {
		t.Errorf("%d queries, want one load", n)
	}
	accepts(t, f, 3)
	if n := loads(); n != 1 {
		t.Errorf("%d queries after the second invocation, want one load", n)
	}
	b.expectHistory(t, 1, 2, 3)
}

// TestAFunctionWithWrongSettingsEnds in its init, and says what is wrong.
func TestAFunctionWithWrongSettingsEnds(t *testing.T) {
	for _, name := range []string{"participant", "sweeper"} {
		f := onAWS{names: "none", bucket: "none"}.start(t, name, "http://127.0.0.1:1", "SDSAWS_NAMESPACES=*", "SDSAWS_NAMESPACE=*")
		<-f.exited
		if code := f.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(f.log(), "wildcards") {
			t.Errorf("%s: exit status %d:\n%s", name, code, f.log())
		}
	}
}

// TestAFreezeInTheMidst: an instance is frozen while its commit, or the reply to it, is on its way. Its
// messages are delivered to another, which goes on. When it wakes up it overwrites nothing of its
// successor, whatever it answers, and takes part again.
func TestAFreezeInTheMidst(t *testing.T) {
	for name, replies := range map[string]bool{"request": false, "reply": true} {
		t.Run(name, func(t *testing.T) {
			b, g := resources(t, nil), newGate(t)
			frozen := b.participant(t, g.URL)
			accepts(t, frozen, 1)
			h, release := g.hold(t, "TransactWriteItems", 0, replies)
			answer := make(chan runtimeapi.Answer, 1)
			go func() { answer <- frozen.invoke(batchOf(t, 2), 3*time.Second) }()
			<-h.reached
			frozen.signal(syscall.SIGSTOP)

			successor := b.participant(t, *cfg.BaseEndpoint)
			accepts(t, successor, 2)
			accepts(t, successor, 3)

			release()
			frozen.signal(syscall.SIGCONT)
			<-answer
			accepts(t, frozen, 4)
			accepts(t, successor, 5)
			b.expectHistory(t, 1, 2, 3, 4, 5)
		})
	}
}

// TestAFreezeBetweenInvocations: connections are dead when it wakes up, and another has had the channel.
func TestAFreezeBetweenInvocations(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	frozen := b.participant(t, g.URL)
	accepts(t, frozen, 1)
	frozen.signal(syscall.SIGSTOP)
	accepts(t, b.participant(t, *cfg.BaseEndpoint), 2)
	g.CloseClientConnections()
	frozen.signal(syscall.SIGCONT)
	accepts(t, frozen, 3)
	b.expectHistory(t, 1, 2, 3)
}

// runsOut has a participant run out of time while it commits a message.
func runsOut(t *testing.T, f *function, g *gate, id int, timeout time.Duration) (release func()) {
	t.Helper()
	h, release := g.hold(t, "TransactWriteItems", 0, false)
	began := time.Now()
	a := f.invoke(batchOf(t, id), timeout)
	took := time.Since(began)
	if a.Error == nil {
		t.Errorf("it answers for what isn't stored: %s", a.Payload)
	}
	select {
	case <-h.reached:
	default:
		t.Error("its time was over before it had sent the commit")
	}
	// It would wait for the commit for as long as that is held. How much of its time it keeps for the
	// answer is for a test without a busy machine.
	if limit := timeout + 20*time.Second; took >= limit {
		t.Errorf("it answers after %v, its deadline was %v", took, timeout)
	}
	return release
}

// TestADeadlineThatIsTooShort: it answers in time that nothing is known to be stored, and nothing is
// lost: the queue delivers the message again.
func TestADeadlineThatIsTooShort(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	f := b.participant(t, g.URL)
	accepts(t, f, 1)
	release := runsOut(t, f, g, 2, 10*time.Second)
	release()
	accepts(t, f, 2)
	accepts(t, f, 3)
	b.expectHistory(t, 1, 2, 3)
}

// TestSIGTERMStoresWhatWasAccepted, and the process ends by itself, before Lambda would kill it. Where
// a busy machine needs longer for that, the process says that not all is stored, and the queue
// delivers it again; so it has some tries.
func TestSIGTERMStoresWhatWasAccepted(t *testing.T) {
	b, g := resources(t, nil), newGate(t)
	var ids []int
	for i := range 10 {
		f := b.participant(t, g.URL)
		ids = append(ids, 2*i+1, 2*i+2)
		accepts(t, f, 2*i+1)
		release := runsOut(t, f, g, 2*i+2, 10*time.Second)
		f.signal(syscall.SIGTERM)
		release()
		<-f.exited
		switch code := f.cmd.ProcessState.ExitCode(); code {
		case 0:
			b.expectHistory(t, ids...)
			return
		case 1:
			t.Logf("try %d: the time after SIGTERM was too short", i)
			accepts(t, b.participant(t, *cfg.BaseEndpoint), 2*i+2)
		default:
			t.Fatalf("exit status %d", code)
		}
	}
	t.Error("it never stores what was accepted")
}

// TestSIGTERMWhenNothingWaits ends the process at once.
func TestSIGTERMWhenNothingWaits(t *testing.T) {
	b := resources(t, nil)
	f := b.participant(t, *cfg.BaseEndpoint)
	accepts(t, f, 1)
	f.signal(syscall.SIGTERM)
	<-f.exited
	if code := f.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}
