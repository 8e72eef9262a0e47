package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sdsaws/sdsaws/store"
)

// stub answers DynamoDB's HTTP calls with what a test says, for what emulators don't
// show.
type stub struct {
	mu       sync.Mutex
	answers  []string // each a status, a space and a body
	requests []request
}

type request struct {
	operation string
	body      map[string]any
}

func (s *stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, err := io.ReadAll(r.Body)
	var body map[string]any
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil || len(s.answers) == 0 {
		http.Error(w, fmt.Sprintf("stub: %v, %d answers left", err, len(s.answers)), http.StatusTeapot)
		return
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.requests = append(s.requests, request{operation, body})
	answer := s.answers[0]
	s.answers = s.answers[1:]
	status := http.StatusOK
	text, ok := strings.CutPrefix(answer, "400 ")
	if ok {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (s *stub) client(t *testing.T) *dynamodb.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: &server.URL,
		Credentials:  credentials.NewStaticCredentialsProvider("id", "secret", ""),
		Retryer:      aws.NopRetryer{},
	})
}

const exception = `400 {"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"from the stub"%s}`

var (
	key     = store.Key{Namespace: "ns", Channel: "channel"}
	prev    = store.CommitID{1}
	head    = store.Head{CommitID: store.CommitID{2}, Epoch: 3, Writer: "w", Next: 1, Body: []byte("body")}
	message = store.Message{Offset: 0, ID: "id", Body: []byte("message")}
)

// TestATokenUsedForOtherBytesIsReplaced: AWS may take a commit that is sent again in a call
// of its own for another request, because the SDK orders attributes at random.
func TestATokenUsedForOtherBytesIsReplaced(t *testing.T) {
	s := &stub{answers: []string{fmt.Sprintf(exception, "IdempotentParameterMismatchException", ""), `{}`}}
	log := NewLog(s.client(t), "state", nil)
	if err := log.Commit(t.Context(), key, prev, head, []store.Message{message}); err != nil {
		t.Fatal(err)
	}
	first, second := s.requests[0].body["ClientRequestToken"], s.requests[1].body["ClientRequestToken"]
	if first != head.CommitID.String() || second == first || second == "" {
		t.Fatalf("tokens %q and %q, want the commit id and another", first, second)
	}
	items := fmt.Sprint(s.requests[0].body["TransactItems"])
	if fmt.Sprint(s.requests[1].body["TransactItems"]) != items {
		t.Fatal("the second request writes something else")
	}
}

// TestOnlyAFailedConditionIsAConflict: every other reason for which AWS cancels a
// transaction leaves its outcome to be found out.
func TestOnlyAFailedConditionIsAConflict(t *testing.T) {
	stored := `,"Item":{"pk":{"S":"ns/channel"},"sk":{"S":"n#"},"ns":{"S":"ns"},"c":{"B":"CQAAAAAAAAAAAAAAAAAAAA=="},` +
		`"e":{"N":"7"},"w":{"S":"other"},"r":{"S":""},"o":{"N":"0"},"s":{"N":"0"},"n":{"N":"5"},"b":{"B":"Yg=="}}`
	reasons := func(codes ...string) string {
		var all []string
		for _, c := range codes {
			item := ""
			if c == "ConditionalCheckFailed" {
				item = stored
			}
			all = append(all, fmt.Sprintf(`{"Code":%q%s}`, c, item))
		}
		return fmt.Sprintf(exception, "TransactionCanceledException",
			`,"CancellationReasons":[`+strings.Join(all, ",")+`]`)
	}
	for _, c := range []struct {
		answer   string
		conflict bool
	}{
		{reasons("ConditionalCheckFailed", "None"), true},
		{reasons("ConditionalCheckFailed", "TransactionConflict"), true},
		{reasons("TransactionConflict", "None"), false},
		{reasons("None", "ThrottlingError"), false},
		{reasons("None", "ValidationError"), false},
		{fmt.Sprintf(exception, "TransactionInProgressException", ""), false},
		{fmt.Sprintf(exception, "ProvisionedThroughputExceededException", ""), false},
	} {
		s := &stub{answers: []string{c.answer}}
		err := NewLog(s.client(t), "state", nil).Commit(t.Context(), key, prev, head, []store.Message{message})
		var conflict *store.ConflictError
		if err == nil || errors.As(err, &conflict) != c.conflict || errors.Is(err, store.ErrTooLarge) {
			t.Errorf("%s: %v, want a conflict: %v", c.answer, err, c.conflict)
		}
		if c.conflict && (conflict.Current == nil || conflict.Current.Epoch != 7 || conflict.Current.Writer != "other") {
			t.Errorf("%s: current head %+v", c.answer, conflict.Current)
		}
	}
}

// TestWhatABatchLeftUndoneIsSentAgain: DynamoDB answers a throttled batch with success and
// a list.
func TestWhatABatchLeftUndoneIsSentAgain(t *testing.T) {
	undone := `{"UnprocessedItems":{"hints":[{"PutRequest":{"Item":{"pk":{"S":"ns/b"},"h":{"B":"Mg=="}}}}]}}`
	s := &stub{answers: []string{undone, `{}`}}
	var used []Usage
	hints := NewHints(s.client(t), "hints", &Options{OnUsage: func(u Usage) { used = append(used, u) }})
	err := hints.SetHints(t.Context(), "ns", []store.Hint{{MessageID: "a", Value: []byte("1")}, {MessageID: "b", Value: []byte("2")}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.requests) != 2 || !strings.Contains(fmt.Sprint(s.requests[1].body), "ns/b") ||
		strings.Contains(fmt.Sprint(s.requests[1].body), "ns/a") {
		t.Fatalf("requests %v, want the one hint again", s.requests)
	}
	if len(used) != 2 || used[0].WriteUnits != 2 || used[1].WriteUnits != 1 {
		t.Fatalf("usage %+v, want 2 units, then 1", used)
	}
}

func TestReadsOfABatchLeftUndoneAreSentAgain(t *testing.T) {
	item := func(offset int) string {
		return fmt.Sprintf(`{"pk":{"S":"ns/channel"},"sk":{"S":%q},"i":{"B":"aQ=="},"l":{"N":"4"},"b":{"B":"Yg=="}}`,
			messageKey(uint64(offset)))
	}
	s := &stub{answers: []string{
		fmt.Sprintf(`{"Responses":{"state":[%s]},"UnprocessedKeys":{"state":{"Keys":[{"pk":{"S":"ns/channel"},"sk":{"S":%q}}]}}}`,
			item(1), messageKey(2)),
		fmt.Sprintf(`{"Responses":{"state":[%s]}}`, item(2)),
	}}
	got, err := NewLog(s.client(t), "state", nil).Messages(t.Context(), key, []uint64{2, 1, 2})
	if err != nil || len(got) != 2 {
		t.Fatalf("%v, %v, want two messages", got, err)
	}
	offsets := map[uint64]bool{got[0].Offset: true, got[1].Offset: true}
	if !maps.Equal(offsets, map[uint64]bool{1: true, 2: true}) {
		t.Fatalf("offsets %v", offsets)
	}
}

// TestATransactionCostsTwice counts by AWS's formula: emulators report something else.
func TestATransactionCostsTwice(t *testing.T) {
	for kb, want := range map[int]int{1: 2*2 + 2, 10: 2*11 + 2, 100: 2*101 + 2} {
		s := &stub{answers: []string{`{}`}}
		var used Usage
		log := NewLog(s.client(t), "state", &Options{OnUsage: func(u Usage) { used = u }})
		h := head
		h.Body = make([]byte, kb<<10) // and the other attributes: one unit more
		if err := log.Commit(t.Context(), key, prev, h, []store.Message{message}); err != nil {
			t.Fatal(err)
		}
		if used.WriteUnits != want || used.Requests != 1 || used.Purpose != Commits {
			t.Errorf("head of %d KB: %+v, want %d units", kb, used, want)
		}
	}
}

func TestDamagedItemsAreErrors(t *testing.T) {
	const head = `{"pk":{"S":"ns/channel"},"sk":{"S":"n#"},"c":{"B":"AAECAwQFBgcICQoLDA0ODw=="},"e":{"N":"7"},"w":{"S":""},"r":{"S":""},"o":{"N":"0"},"s":{"N":"0"},"n":{"N":"5"},"b":{"B":"Yg=="}}`
	for items, item := range map[string]string{
		`{"pk":{"S":"ns/channel"},"sk":{"S":"n#"}}`:                                                                       "head",
		strings.Replace(head, `"AAECAwQFBgcICQoLDA0ODw=="`, `"AQ=="`, 1):                                                  "head",
		strings.Replace(head, `"N":"5"`, `"N":"1.5"`, 1):                                                                  "head",
		strings.Replace(head, `{"N":"7"}`, `{"N":"-7"}`, 1):                                                               "head",
		head + `,{"pk":{"S":"ns/channel"},"sk":{"S":"m#000000000000001a"},"i":{"S":"id"},"l":{"N":"1"},"b":{"B":"Yg=="}}`: "message at offset 26",
		head + `,{"pk":{"S":"ns/channel"},"sk":{"S":"m#1a"},"i":{"B":"aWQ="},"l":{"N":"1"},"b":{"B":"Yg=="}}`:             "message",
	} {
		s := &stub{answers: []string{`{"Items":[` + items + `]}`}}
		_, _, err := NewLog(s.client(t), "state", nil).Load(t.Context(), key, 0)
		var malformed *store.MalformedError
		if !errors.As(err, &malformed) || malformed.Item != item || !errors.Is(err, store.ErrMalformed) {
			t.Errorf("%s: %v, want that %q is malformed", items, err, item)
		}
	}
}

// TestAMissingTableIsNamed: DynamoDB's own message doesn't.
func TestAMissingTableIsNamed(t *testing.T) {
	s := &stub{}
	log, hints := NewLog(s.client(t), "state", nil), NewHints(s.client(t), "hints", nil)
	for name, call := range map[string]func() error{
		"state": func() error { _, _, err := log.Load(t.Context(), key, 0); return err },
		"hints": func() error { _, err := hints.Hints(t.Context(), "ns", []string{"id"}); return err },
	} {
		s.answers = []string{fmt.Sprintf(exception, "ResourceNotFoundException", "")}
		if err := call(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no table %q", name)) {
			t.Errorf("%v, want that there is no table %q", err, name)
		}
	}
}
