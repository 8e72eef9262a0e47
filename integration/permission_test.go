package integration_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/zclconf/go-cty/cty"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/dynamo"
	"github.com/sdsaws/sdsaws/internal/hclcheck"
	"github.com/sdsaws/sdsaws/internal/permission"
	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/s3archive"
	"github.com/sdsaws/sdsaws/sds"
	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

// withClients returns b with clients of its own, whose requests r keeps.
func (o onAWS) withClients(r *permission.Recorder) onAWS {
	own := cfg.Copy()
	own.APIOptions = append(own.APIOptions, r.Record)
	client := dynamodb.NewFromConfig(own, sdsaws.RetryPolicy{}.DynamoDB)
	objects := s3.NewFromConfig(own, sdsaws.RetryPolicy{}.S3, func(o *s3.Options) { o.UsePathStyle = true })
	o.Log = dynamo.NewLog(client, o.names+"-state", nil)
	o.hints = dynamo.NewHints(client, o.names+"-hints", nil)
	o.archive = s3archive.New(objects, o.bucket, nil)
	return o
}

// policies returns those that Terraform's module makes for the tables and bucket of b; of the
// roles that are confined, for a namespace.
func (o onAWS) policies(t *testing.T, namespace string) map[permission.Role]*permission.Policy {
	t.Helper()
	schema, err := hclcheck.AWS()
	if err != nil {
		t.Fatal(err)
	}
	m, err := hclcheck.Load(os.DirFS("../terraform"), "modules/sdsaws")
	if err != nil {
		t.Fatal(err)
	}
	who := cty.ObjectVal(map[string]cty.Value{"x": cty.ObjectVal(map[string]cty.Value{"namespace": cty.StringVal(namespace)})})
	e, err := m.Evaluate(schema, map[string]cty.Value{"name": cty.StringVal(o.names), "bucket": cty.StringVal(o.bucket),
		"participants": who, "readers": who})
	if err != nil {
		t.Fatal(err)
	}
	policies := map[permission.Role]*permission.Policy{}
	for role, text := range map[permission.Role]cty.Value{
		permission.Participant: e.Outputs["participant_policies"].GetAttr("x"),
		permission.Reader:      e.Outputs["reader_policies"].GetAttr("x"),
		permission.Sweeper:     e.Outputs["sweeper_policy"],
		permission.Operator:    e.Outputs["operator_policy"],
	} {
		if policies[role], err = permission.Parse(text.AsString()); err != nil {
			t.Fatal(err)
		}
	}
	return policies
}

// TestEachRoleNeedsItsPolicy has each role do all that it does, and holds each request
// against its policy: none is denied, no action of a policy is left unused, and nothing of
// alice is allowed to a policy for another namespace.
func TestEachRoleNeedsItsPolicy(t *testing.T) {
	account := permission.Account{ID: hclcheck.Account, Region: hclcheck.Region}
	for role, work := range map[permission.Role]func(t *testing.T, as, b onAWS){
		permission.Participant: participates, permission.Sweeper: sweeps, permission.Reader: reads, permission.Operator: operates,
	} {
		t.Run(string(role), func(t *testing.T) {
			b := resources(t, nil)
			policies, others := b.policies(t, "alice"), b.policies(t, "alic")
			var r permission.Recorder
			work(t, b, b.withClients(&r))
			accesses, err := r.Recorded()
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range accesses {
				if ok, err := policies[role].Allows(account, a); !ok || err != nil {
					t.Errorf("%+v is denied, %v", a, err)
				}
				if role != permission.Participant && role != permission.Reader {
					continue
				}
				if ok, err := others[role].Allows(account, a); ok || err != nil {
					t.Errorf("%+v is allowed to a %s of another namespace, %v", a, role, err)
				}
			}
			names := permission.Names{State: b.names + "-state", Hints: b.names + "-hints", Bucket: b.bucket}
			used, err := names.Grants(accesses)
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range permission.Roles[role] {
				if !slices.Contains(used, g) {
					t.Errorf("%s on %s was never needed", g.Action, g.On)
				}
			}
			for _, g := range used {
				if !slices.Contains(permission.Roles[role], g) {
					t.Errorf("%s on %s isn't in permission.Roles", g.Action, g.On)
				}
			}
			t.Logf("terraform-test: %d requests of a %s need %d actions: all allowed, none unused", len(accesses), role, len(used))
		})
	}
}

// participates is all that a participant's process does.
func participates(t *testing.T, _, b onAWS) {
	busy(t, b, "alice")
	leave(t, b)
	a := adapter(t, b.backend(), "alice")
	for _, id := range []string{chat, mixed, halfArchived} {
		if _, err := a.LoadChannel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Archive(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	read(t, b)
	for _, id := range []string{chat, mixed, halfArchived, halfDropped} {
		if err := a.DropChannel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// sweeps goes on with what others have begun, in all channels.
func sweeps(t *testing.T, as, b onAWS) {
	newSite(t, as, "alice").claim() // what was staged before is left over
	leave(t, as)
	var namespaces []string
	for n, err := range b.Namespaces(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		namespaces = append(namespaces, n)
	}
	if !slices.Equal(namespaces, []string{"alice"}) {
		t.Fatalf("namespaces %q", namespaces)
	}
	a := adapter(t, b.backend(), "alice")
	for id, err := range a.Channels(t.Context()) {
		if err == nil {
			_, err = a.Sweep(t.Context(), id, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// What is missing must not look like what is forbidden.
	owner := adapter(t, as.backend(), "alice")
	const id = "/missing"
	for _, u := range []sds.HistoryUpdate{
		{Append: []sds.Message{{MessageID: "large", Content: noise(100<<10, 1)}}},
		{Append: []sds.Message{{MessageID: "small"}}, Evict: []string{"large"}},
	} {
		if err := owner.Commit(t.Context(), id, &sds.ChannelMeta{SchemaVersion: 1}, &u); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{as, t, "alice", nil, newS3()}
	for o, err := range as.archive.List(t.Context(), record.Folder(record.Values, store.Key{Namespace: "alice", Channel: id})) {
		if err != nil {
			t.Fatal(err)
		}
		s.removeVersion(o)
	}
	if _, err := a.Sweep(t.Context(), id, nil); !errors.Is(err, sds.ErrIncomplete) {
		t.Fatalf("a sweep with a value missing: %v", err)
	}
}

func reads(t *testing.T, as, b onAWS) {
	busy(t, as, "alice")
	leave(t, as)
	read(t, b)
}

// read takes what there is, by each of the readers' calls.
func read(t *testing.T, b onAWS) {
	t.Helper()
	a := adapter(t, b.backend(), "alice")
	for _, channel := range []string{chat, mixed} {
		n := 0
		for _, err := range a.History(t.Context(), channel, sdsaws.HistoryRange{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n == 0 {
			t.Fatal("no history")
		}
	}
	for id, channel := range map[string]string{"m0": chat, "m89": chat, "m55": mixed} {
		if _, err := a.Message(t.Context(), channel, id); err != nil {
			t.Fatalf("%s of %s: %v", id, channel, err)
		}
	}
	if hints, err := a.Hints(t.Context(), "m50"); err != nil || len(hints) != 1 {
		t.Fatal(hints, err)
	}
}

// operates checks and repairs a namespace, with something left over, unfinished and missing.
func operates(t *testing.T, as, b onAWS) {
	s := newSite(t, as, "alice")
	s.claim()
	leave(t, as)
	a, err := sdsaws.New(b.backend(), &sdsaws.Options{Namespace: "alice", ArchiveMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }()
	check := func(o *sdsaws.CheckOptions) (left int) {
		t.Helper()
		for c, err := range a.CheckAll(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			if c.Has(sdsaws.Broken) || c.Has(sdsaws.Unfinished) || c.Has(sdsaws.Garbage) {
				left++
			}
		}
		return left
	}
	if left := check(&sdsaws.CheckOptions{Repair: true}); left != 0 {
		t.Fatalf("%d channels aren't repaired", left)
	}
	s.removeVersion(s.objects(record.Segments)[0])
	if left := check(&sdsaws.CheckOptions{HeadsOnly: true}); left != 1 {
		t.Fatalf("%d channels miss something", left)
	}
}

const (
	mixed        = "/mixed"         // a part is archived, up to the middle of a group; more was evicted
	halfArchived = "/half archived" // the object is there, and nothing says so
	halfDropped  = "/half dropped"
)

// leave makes channels in which somebody has stopped in the middle of something.
func leave(t *testing.T, b onAWS) {
	t.Helper()
	a, err := sdsaws.New(b.backend(), &sdsaws.Options{Namespace: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close(context.Background()) }() // it may be fenced
	grow := func(channel string, from, n, keep int) {
		for i := from; i < from+n; i++ {
			size := 4 << 10
			if i == 30 {
				size = 100 << 10 // a value of its own
			}
			u := &sds.HistoryUpdate{Append: []sds.Message{{MessageID: fmt.Sprint("m", i), Content: noise(size, 7)}},
				Evict: []string{fmt.Sprint("m", i-keep)}}
			if err := a.Commit(t.Context(), channel, &sds.ChannelMeta{SchemaVersion: 1}, u); err != nil {
				t.Fatal(err)
			}
		}
	}
	grow(mixed, 0, 27, 20)
	if _, err := a.Archive(t.Context(), mixed); err != nil {
		t.Fatal(err)
	}
	grow(mixed, 27, 29, 20)
	buffered := &sds.ChannelMeta{SchemaVersion: 1, OutgoingBuffer: []sds.OutgoingMessage{
		{Message: sds.Message{MessageID: "waits", Content: noise(4<<10, 7)}}}}
	if err := a.Commit(t.Context(), mixed, buffered, &sds.HistoryUpdate{}); err != nil {
		t.Fatal(err)
	}
	grow(halfArchived, 0, 60, 20)
	grow(halfDropped, 0, 20, 10)
	if err := a.SetRetrievalHint(t.Context(), "m50", []byte("hint")); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := func(at string, do func(*sdsaws.Adapter) error) {
		f := &storetest.Faulty{Hook: func(op string, _ int) storetest.Fault {
			if op == at {
				return storetest.Fault{Refuse: errInjected}
			}
			return storetest.Fault{}
		}}
		if err := do(adapter(t, sdsaws.Backend{Log: f.Log(b.Log), Hints: b.hints, Archive: b.archive}, "alice")); !errors.Is(err, errInjected) {
			t.Fatalf("%s wasn't stopped: %v", at, err)
		}
	}
	stop("ReplaceSegment", func(a *sdsaws.Adapter) error {
		_, err := a.Archive(t.Context(), halfArchived)
		return err
	})
	if _, err := a.LoadChannel(t.Context(), halfArchived); err != nil { // who archives has claimed it
		t.Fatal(err)
	}
	grow(halfArchived, 60, 29, 20)
	stop("Delete", func(a *sdsaws.Adapter) error { return a.DropChannel(t.Context(), halfDropped) })
}
