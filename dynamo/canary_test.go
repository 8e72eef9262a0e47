package dynamo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/sdsaws/sdsaws/internal/canary"
	"github.com/sdsaws/sdsaws/store"
)

var birds = map[string]canary.Bird{
	"content": canary.New("Content"), "message id": canary.New("MessageID"), "hint": canary.New("Hint"),
	"access key": canary.New("AccessKey"), "secret key": canary.New("Secret"), "session token": canary.New("Token"),
}

// plantedItem is an item with a canary in each attribute that may have one.
func plantedItem(sk string) string {
	b := func(what string) string { return base64.StdEncoding.EncodeToString([]byte(birds[what].Raw())) }
	return fmt.Sprintf(`{"pk":{"S":"ns/channel"},"sk":{"S":%q},"ns":{"S":"ns"},"c":{"B":"CQAAAAAAAAAAAAAAAAAAAA=="},"e":{"N":"7"},`+
		`"w":{"S":"other"},"r":{"S":""},"o":{"N":"0"},"s":{"N":"0"},"n":{"N":"5"},"b":{"B":%q},"i":{"B":%q},"h":{"B":%q},"l":{"N":"1"},"t":{"N":"9"}}`,
		sk, b("content"), b("message id"), b("hint"))
}

// hostileAnswers are what a service, or who stands before it, may answer: with what it was sent, or with
// what it holds.
func hostileAnswers() map[string]string {
	item := plantedItem("m#0000000000000001")
	var all string
	for _, b := range birds {
		all += string(b) + " " + base64.StdEncoding.EncodeToString([]byte(b.Raw())) + " "
	}
	failed := func(code, rest string) string {
		return fmt.Sprintf(`400 {"__type":"com.amazonaws.dynamodb.v20120810#%s"%s}`, code, rest)
	}
	value := fmt.Sprintf(`,"message":"2 validation errors detected: Value '{%s}' at 'transactItems.1.member.put.item' failed to `+
		`satisfy constraint: Member must not be null; Value '%s' at 'x' failed"`, all, all)
	return map[string]string{
		"validation":     failed("ValidationException", value),
		"serialization":  failed("SerializationException", value),
		"conflict":       failed("ConditionalCheckFailedException", `,"message":"The conditional request failed","Item":`+item),
		"conflict, head": failed("ConditionalCheckFailedException", `,"Item":`+plantedItem("n#")),
		"canceled": failed("TransactionCanceledException", `,"message":"Transaction cancelled [ConditionalCheckFailed, None]",`+
			`"CancellationReasons":[{"Code":"ConditionalCheckFailed","Message":"x","Item":`+item+`},{"Code":"None"}]`),
		"canceled, validation": failed("TransactionCanceledException", `,"message":"Transaction cancelled [None, ValidationError]",`+
			`"CancellationReasons":[{"Code":"None"},{"Code":"ValidationError","Message":"`+all+`","Item":`+item+`}]`),
		"throttled":     failed("ThrottlingException", `,"message":"slow down"`),
		"no JSON":       all,
		"an error page": "400 <html>" + all,
		"cut":           strings.TrimSuffix(`{"Items":[`+item, `"}}`),
		"cut, item":     strings.TrimSuffix(`{"Item":`+item, `"}}`),
		"other types":   `{"Items":"` + all + `","Item":"` + all + `","Responses":"` + all + `","UnprocessedItems":"` + all + `"}`,
		"not base64":    `{"Items":[{"b":{"B":"!` + all + `"}}],"Item":{"b":{"B":"!` + all + `"}},"Responses":{"t":[{"b":{"B":"!` + all + `"}}]}}`,
		"no number": `{"Items":[` + strings.Replace(item, `"l":{"N":"1"}`, `"l":{"N":"`+all+`"}`, 1) + `],"Item":` +
			strings.Replace(item, `"e":{"N":"7"}`, `"e":{"N":"`+all+`"}`, 1) + `}`,
		"a bad key": `{"Items":[` + strings.Replace(item, "m#0000000000000001", "m#"+string(birds["content"]), 1) + `]}`,
		"a bad type": `{"Items":[` + strings.Replace(item, `"i":{"B"`, `"i":{"S"`, 1) + `],"Responses":{"t":[` +
			strings.Replace(strings.Replace(item, `"i":{"B"`, `"i":{"S"`, 1), `"h":{"B"`, `"h":{"S"`, 1) + `]},"Item":{"pk":{"S":"` + all + `"}}}`,
		"undone":   `{"UnprocessedItems":{"t":[{"PutRequest":{"Item":` + item + `}}]},"UnprocessedKeys":{"t":{"Keys":[` + item + `]}}}`,
		"all well": `{}`,
	}
}

// TestNoErrorShowsAnItem: neither what is sent nor what is stored is shown, whatever a service answers, in errors, in
// the SDK's log, or in ours.
func TestNoErrorShowsAnItem(t *testing.T) {
	head := store.Head{CommitID: store.CommitID{2}, Next: 2, Body: []byte(birds["content"].Raw())}
	messages := []store.Message{{ID: birds["message id"].Raw(), Body: []byte(birds["content"].Raw())}}
	hints := []store.Hint{{MessageID: birds["message id"].Raw(), Value: []byte(birds["hint"].Raw())}}
	segment := store.Segment{From: 1, To: 2, Body: []byte(birds["content"].Raw())}
	id := []string{birds["message id"].Raw()}
	errs := 0
	for name, answer := range hostileAnswers() {
		var out canary.Output
		restore := out.Logs()
		ctx, cancel := context.WithCancel(t.Context())
		batches := 0
		log, h := planted(t, answer, &out, func(operation string) {
			if strings.HasPrefix(operation, "Batch") {
				batches++
			}
			if name == "undone" && batches == 3 {
				cancel() // it would be tried for ten seconds
			}
		})
		note := func(err error) {
			if err != nil {
				errs++
			}
			out.Error(err)
		}
		note(log.Commit(ctx, key, prev, head, nil))
		note(log.Commit(ctx, key, prev, head, messages))
		note(log.Commit(ctx, key, prev, head, []store.Message{{ID: id[0], Body: append(messages[0].Body, make([]byte, maxItem)...)}}))
		note(log.Claim(ctx, key, prev, store.Claim{CommitID: store.CommitID{3}}))
		note(log.Stage(ctx, key, prev, messages))
		note(log.Unstage(ctx, key))
		note(log.AddSegment(ctx, key, 0, segment))
		note(log.ReplaceSegment(ctx, key, segment))
		note(log.Delete(ctx, key, 0, 9))
		note(log.DeleteSegments(ctx, key, 9))
		_, _, err := log.Load(ctx, key, 0)
		note(err)
		_, err = log.Head(ctx, key)
		note(err)
		_, err = log.Messages(ctx, key, []uint64{1})
		note(err)
		_, _, err = log.Page(ctx, key, 0, 9)
		note(err)
		_, _, err = log.Find(ctx, key, id[0])
		note(err)
		_, err = log.Segments(ctx, key, 0, 9)
		note(err)
		_, err = log.LastSegment(ctx, key, math.MaxUint64)
		note(err)
		_, err = log.Size(ctx, key)
		note(err)
		for _, list := range []func(context.Context, string) func(func(string, error) bool){
			func(ctx context.Context, ns string) func(func(string, error) bool) { return log.Channels(ctx, ns) },
			func(ctx context.Context, ns string) func(func(string, error) bool) { return log.Stored(ctx, ns) },
			func(ctx context.Context, _ string) func(func(string, error) bool) { return log.Namespaces(ctx) },
		} {
			for _, err := range list(ctx, "ns") {
				note(err)
			}
		}
		rounds := NewRounds(log.client, "t", "r", nil)
		_, err = rounds.Load(ctx)
		note(err)
		_, err = rounds.Save(ctx, Round{Namespace: "ns", After: "channel"})
		note(err)
		note(rounds.Remove(ctx, Round{Namespace: "ns", After: "channel"}))
		note(h.SetHints(ctx, "ns", hints, 0))
		_, err = h.Hints(ctx, "ns", id)
		note(err)
		note(h.DeleteHints(ctx, "ns", id))
		note(h.SetHints(ctx, "ns", []store.Hint{{MessageID: id[0], Value: append(hints[0].Value, make([]byte, maxItem)...)}}, 0))
		cancel()
		restore()
		for what, b := range birds {
			if b.In(out.String()) {
				t.Errorf("%s: the %s is shown in:\n%.2000s", name, what, around(out.String(), b))
			}
		}
	}
	if t.Logf("%d errors", errs); errs < 200 {
		t.Errorf("%d errors, want more", errs)
	}
}

// around returns the first line of a text that shows a canary.
func around(text string, b canary.Bird) string {
	for line := range strings.Lines(text) {
		if b.In(line) {
			return line
		}
	}
	return text
}

// planted returns a log and hints on a service that answers each request so, with planted credentials, tried twice and
// with all of the SDK's logs that don't ask for requests themselves.
func planted(t *testing.T, answer string, out *canary.Output, each func(operation string)) (*Log, *Hints) {
	t.Helper()
	text, bad := strings.CutPrefix(answer, "400 ")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		each(operation)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if bad {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	client := dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider(
			string(birds["access key"]), string(birds["secret key"]), string(birds["session token"])),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 2
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		}),
		Logger: logging.NewStandardLogger(out), ClientLogMode: aws.LogRetries | aws.LogDeprecatedUsage,
	})
	return NewLog(client, "t", nil), NewHints(client, "t", nil)
}

// TestAConflictIsNotShownWhole: its error holds the head that is stored, for code and not for people.
func TestAConflictIsNotShownWhole(t *testing.T) {
	log, _ := planted(t, hostileAnswers()["conflict, head"], &canary.Output{}, func(string) {})
	err := log.Commit(t.Context(), key, prev, head, nil)
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || !strings.Contains(string(conflict.Current.Body), string(birds["content"])) {
		t.Fatalf("%v, want a conflict with the head", err)
	}
	if birds["content"].In(canary.Errors(err)) {
		t.Error("it shows the body of the head")
	}
}
