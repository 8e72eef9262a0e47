package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws/store"
)

// TestNamespacesAreListedOnce, whatever number of channels and pages they have; what is no
// namespace stops nothing.
func TestNamespacesAreListedOnce(t *testing.T) {
	in := func(names ...string) string {
		items := make([]string, len(names))
		for i, n := range names {
			items[i] = fmt.Sprintf(`{"ns":{"S":%q}}`, n)
		}
		return `{"Items":[` + strings.Join(items, ",") + `]`
	}
	s := &stub{answers: []string{
		in("a", "a", "b%FF") + `,"LastEvaluatedKey":{"ns":{"S":"b%FF"},"pk":{"S":"b%FF/x"},"sk":{"S":"n#"}}}`,
		in("b%FF", "%41", "", "c%2A", "d") + `}`,
		fmt.Sprintf(exception, "AccessDeniedException", ""),
	}}
	log := NewLog(s.client(t), "state", nil)
	got := listed(t, log.Namespaces(t.Context()))
	if want := []string{"a", "b\xff", "malformed", "malformed", "malformed", "d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for i, r := range s.requests {
		from, _ := r.body["ExclusiveStartKey"].(map[string]any)
		if r.operation != "Scan" || r.body["IndexName"] != ChannelsIndex || (from == nil) != (i == 0) {
			t.Errorf("request %d: %+v, want a scan of the index", i, r)
		}
	}
	if got := listed(t, log.Namespaces(t.Context())); !slices.Equal(got, []string{"failed"}) {
		t.Errorf("a scan that fails: %q", got)
	}
}

// TestChannelsAfterGoesOnBehindAPlace: a place is what follows the namespace in the key, so that
// it is short however long the channel's id is, and what has no name has one too.
func TestChannelsAfterGoesOnBehindAPlace(t *testing.T) {
	s := &stub{answers: []string{`{` + keysOf("n%2Fs/b%2F", "n%2Fs/%zz", "n%2Fs/c") + `}`, `{}`}}
	log := NewLog(s.client(t), "state", nil)
	var got []Listed
	for l, err := range log.ChannelsAfter(t.Context(), "n/s", "a") {
		if (err == nil) == (l.Channel == "") || err != nil && !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%+v, %v", l, err)
		}
		got = append(got, l)
	}
	if want := []Listed{{"b/", "b%2F"}, {"", "%zz"}, {"c", "c"}}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for l, err := range log.ChannelsAfter(t.Context(), "n/s", "") {
		t.Errorf("%+v, %v; want none", l, err)
	}
	for i, want := range []string{"ns = :n AND pk > :p map[:n:map[S:n%2Fs] :p:map[S:n%2Fs/a]]", "ns = :n map[:n:map[S:n%2Fs]]"} {
		body := s.requests[i].body
		if asked := fmt.Sprint(body["KeyConditionExpression"], " ", body["ExpressionAttributeValues"]); asked != want {
			t.Errorf("asked for %s, want %s", asked, want)
		}
	}
}

// oneItem is a table that keeps one item, whose puts are conditional on its attribute c. It can
// lose replies: the client sends the put again then.
type oneItem struct {
	t     *testing.T
	item  map[string]map[string]string
	loses int
}

func (o *oneItem) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Item, ExpressionAttributeValues map[string]map[string]string
		KeyConditionExpression          string
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		o.t.Error(err)
	}
	answer := map[string]any{}
	status := http.StatusOK
	switch prev := in.ExpressionAttributeValues[":c"]; {
	case in.KeyConditionExpression != "":
		if strings.HasPrefix(o.item["sk"]["S"], in.ExpressionAttributeValues[":r"]["S"]) {
			answer["Items"] = []any{o.item}
		}
	case in.Item == nil && (o.item == nil || prev["B"] == o.item["c"]["B"]):
		o.item = nil
		o.lose()
	case in.Item == nil:
		status = http.StatusBadRequest
		answer["__type"] = "ConditionalCheckFailedException"
	case o.item == nil && prev == nil, o.item != nil && prev["B"] == o.item["c"]["B"]:
		o.item = in.Item
		o.lose()
	default:
		status = http.StatusBadRequest
		answer["__type"], answer["Item"] = "ConditionalCheckFailedException", o.item
	}
	w.WriteHeader(status)
	b, err := json.Marshal(answer)
	if err != nil {
		o.t.Error(err)
	}
	_, _ = w.Write(b)
}

func (o *oneItem) lose() {
	if o.loses > 0 {
		o.loses--
		panic(http.ErrAbortHandler)
	}
}

func (o *oneItem) rounds() *Rounds { return o.roundsOf("eu-1") }

func (o *oneItem) roundsOf(region string) *Rounds {
	server := httptest.NewServer(o)
	o.t.Cleanup(server.Close)
	return NewRounds(dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), RetryMaxAttempts: 2}), "state", region, nil)
}

// TestOfTwoSweepersOneSavesARound, and the other learns of it.
func TestOfTwoSweepersOneSavesARound(t *testing.T) {
	rounds := (&oneItem{t: t}).rounds()
	at := time.UnixMilli(1_700_000_000_123)
	first := Round{Namespace: "n/\xff", After: ":sha256:00", Began: at, Since: at.Add(-time.Hour), Turn: at.Add(time.Second)}
	saved, err := rounds.Save(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := rounds.Load(t.Context())
	if err != nil || len(loaded) != 1 || loaded["n/\xff"] != saved {
		t.Fatalf("loaded %+v, %v; want %+v", loaded, err, saved)
	}
	if _, err := rounds.Save(t.Context(), first); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second first round: %v", err)
	}
	next := saved
	next.After = "b"
	if next, err = rounds.Save(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := rounds.Save(t.Context(), loaded["n/\xff"]); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from an old round: %v", err)
	}
	if now, err := rounds.Load(t.Context()); err != nil || now["n/\xff"] != next {
		t.Errorf("%+v, %v; want %+v", now, err, next)
	}
}

// TestALostReplyIsNoConflict: what is there is what this call has put.
func TestALostReplyIsNoConflict(t *testing.T) {
	rounds := (&oneItem{t: t, loses: 1}).rounds()
	saved, err := rounds.Save(t.Context(), Round{Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	if now, err := rounds.Load(t.Context()); err != nil || now["ns"].version != saved.version {
		t.Errorf("%+v, %v; want %+v", now, err, saved)
	}
}

// TestARegionHasItsOwnRounds: those of another are neither loaded nor in the way, whatever the
// regions and namespaces are called.
func TestARegionHasItsOwnRounds(t *testing.T) {
	table := &oneItem{t: t}
	if _, err := table.rounds().Save(t.Context(), Round{Namespace: "1#ns"}); err != nil {
		t.Fatal(err)
	}
	for _, other := range []string{"eu", "eu-", "eu-11", "eu-1#1", "us-1", ""} {
		if all, err := table.roundsOf(other).Load(t.Context()); err != nil || len(all) > 0 {
			t.Errorf("%q has %+v, %v", other, all, err)
		}
	}
	if got := table.item["sk"]["S"]; got != "r#eu-1#1%23ns" {
		t.Errorf("sort key %q", got)
	}
}

// TestARoundIsRemoved, unless another sweeper has saved it since; a lost reply is no error.
func TestARoundIsRemoved(t *testing.T) {
	table := &oneItem{t: t}
	rounds := table.rounds()
	old, err := rounds.Save(t.Context(), Round{Namespace: "ns"})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := rounds.Save(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if err := rounds.Remove(t.Context(), old); !errors.Is(err, store.ErrConflict) || table.item == nil {
		t.Errorf("an old one: %v", err)
	}
	table.loses = 1
	if err := rounds.Remove(t.Context(), saved); err != nil || table.item != nil {
		t.Errorf("%v, and there is %v", err, table.item)
	}
}
