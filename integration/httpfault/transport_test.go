package httpfault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/sdsaws/sdsaws/internal/ordeal"
)

// service stands for DynamoDB and S3: it does all it is asked and keeps the requests.
type service struct {
	mu       sync.Mutex
	requests []sent
}

type sent struct {
	op, invocation string
	body           []byte
	query          string
}

const content = "0123456789"

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	op, opErr := operation(r)
	if err := errors.Join(err, opErr); err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, sent{op, r.Header.Get("Amz-Sdk-Invocation-Id"), body, r.URL.RawQuery})
	s.mu.Unlock()
	switch op {
	case s3GetObject, s3HeadObject:
		sum := sha256.Sum256([]byte(content))
		w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
		_, _ = io.WriteString(w, content)
	case s3DeleteObjects:
		_, _ = io.WriteString(w, "<DeleteResult></DeleteResult>")
	case s3ListObjectVersions:
		_, _ = io.WriteString(w, "<ListVersionsResult></ListVersionsResult>")
	case s3PutObject:
	default:
		_, _ = io.WriteString(w, "{}")
	}
}

// taken returns the requests since the last call.
func (s *service) taken() []sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// clients are those of a process, and their transport.
type clients struct {
	db      *dynamodb.Client
	objects *s3.Client
	*Transport
}

// process returns the clients of a process whose first call has the fault.
func (s *service) process(t *testing.T, f ordeal.Fault) clients {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	base := &http.Transport{}
	t.Cleanup(base.CloseIdleConnections)
	site := &Site{cfg: aws.Config{BaseEndpoint: &server.URL, Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")}}
	calls := 0
	transport := &Transport{Base: base, Hints: "hints", Decide: func(string) ordeal.Fault {
		if calls++; calls == 1 {
			return f
		}
		return ordeal.None
	}}
	db, objects := site.clients(transport, policy)
	return clients{db, objects, transport}
}

var (
	itemA = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"},
		"sk": &types.AttributeValueMemberS{Value: "m"}, "b": &types.AttributeValueMemberB{Value: []byte("body")}}
	itemB = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "b"},
		"sk": &types.AttributeValueMemberS{Value: "m"}}
	itemC = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "c"},
		"sk": &types.AttributeValueMemberS{Value: "m"}}
)

func writeRequests(items ...map[string]types.AttributeValue) (all []types.WriteRequest) {
	for _, it := range items {
		all = append(all, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
	}
	return all
}

// operations are calls of each operation that the adapter uses, each with all of its reply.
var operations = map[string]func(context.Context, clients) error{
	putItem: func(ctx context.Context, c clients) error {
		_, err := c.db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("state"), Item: itemA})
		return err
	},
	updateItem: func(ctx context.Context, c clients) error {
		_, err := c.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("state"), Key: itemA})
		return err
	},
	deleteItem: func(ctx context.Context, c clients) error {
		_, err := c.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String("state"), Key: itemA})
		return err
	},
	getItem: func(ctx context.Context, c clients) error {
		_, err := c.db.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("state"), Key: itemA})
		return err
	},
	query: func(ctx context.Context, c clients) error {
		_, err := c.db.Query(ctx, &dynamodb.QueryInput{TableName: aws.String("state")})
		return err
	},
	batchGetItem: func(ctx context.Context, c clients) error {
		_, err := c.db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
			"state": {Keys: []map[string]types.AttributeValue{itemB, itemC}, ConsistentRead: aws.Bool(true)}}})
		return err
	},
	batchWriteItem: func(ctx context.Context, c clients) error {
		_, err := c.db.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{"hints": writeRequests(itemA, itemB, itemC)}})
		return err
	},
	transactWriteItems: func(ctx context.Context, c clients) error {
		_, err := c.db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("state"), Item: itemA}},
			{Put: &types.Put{TableName: aws.String("state"), Item: itemB}},
		}})
		return err
	},
	s3PutObject: func(ctx context.Context, c clients) error {
		_, err := c.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"),
			Body: strings.NewReader(content), ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256})
		return err
	},
	s3GetObject: func(ctx context.Context, c clients) error {
		out, err := c.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k"),
			ChecksumMode: s3types.ChecksumModeEnabled})
		if err != nil {
			return err
		}
		defer out.Body.Close()
		_, err = io.ReadAll(out.Body)
		return err
	},
	s3HeadObject: func(ctx context.Context, c clients) error {
		_, err := c.objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
		return err
	},
	s3DeleteObjects: func(ctx context.Context, c clients) error {
		_, err := c.objects.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("b"),
			Delete: &s3types.Delete{Quiet: aws.Bool(true), Objects: []s3types.ObjectIdentifier{
				{Key: aws.String("x"), VersionId: aws.String("v1")}, {Key: aws.String("y"), VersionId: aws.String("v2")}}}})
		return err
	},
	s3ListObjectVersions: func(ctx context.Context, c clients) error {
		_, err := c.objects.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: aws.String("b")})
		return err
	},
}

// what a fault is to do, by its name without Retried.
type expected struct {
	done bool
	is   error // nil: an API error with the fault's code
}

var connections = map[ordeal.Fault]expected{
	ordeal.Refuse:        {false, syscall.ECONNREFUSED},
	ordeal.Lose:          {true, io.EOF},
	"reset":              {true, syscall.ECONNRESET},
	"reset in the reply": {true, syscall.ECONNRESET},
	"cut":                {true, io.ErrUnexpectedEOF},
	"altered":            {true, nil},
	"stalled":            {true, os.ErrDeadlineExceeded},
	"timed out":          {false, os.ErrDeadlineExceeded},
	"timed out, done":    {true, os.ErrDeadlineExceeded},
	ordeal.Late:          {false, os.ErrDeadlineExceeded},
}

// TestEachFaultDoesWhatItSays: the request of a fault is done as often as its name says, and
// the client gets an error unless a later attempt passes.
func TestEachFaultDoesWhatItSays(t *testing.T) {
	for op, call := range operations {
		for f := range catalogOf(op).faults {
			if strings.Contains(string(f), "half") || f == "short page" {
				continue // have tests of their own
			}
			t.Run(op+"/"+string(f), func(t *testing.T) {
				t.Parallel()
				s := &service{}
				c := s.process(t, f)
				err := call(t.Context(), c)
				check(t, f, err, s.taken())
				if err := c.Release(); err != nil {
					t.Fatal(err)
				}
				if n := len(s.taken()); n > 1 || (n == 1) != (f == ordeal.Late) {
					t.Errorf("%d requests were late", n)
				}
				if err := call(t.Context(), c); err != nil || len(s.taken()) != 1 {
					t.Errorf("the next call: %v", err)
				}
			})
		}
	}
}

func check(t *testing.T, f ordeal.Fault, err error, requests []sent) {
	t.Helper()
	name, retried := strings.CutSuffix(string(f), Retried)
	want, ok := connections[ordeal.Fault(name)]
	code, done := strings.CutSuffix(name, ", done")
	if !ok {
		want.done = done
	}
	n := 0
	if want.done {
		n++
	}
	if retried {
		n++
	}
	if len(requests) != n {
		t.Errorf("was done %d times, want %d", len(requests), n)
	}
	if (err == nil) != retried {
		t.Errorf("error %v", err)
	}
	if code, _, _ := strings.Cut(code, "["); err != nil && !ok {
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != code && !byStatus(api.ErrorCode()) {
			t.Errorf("error %v, want %s", err, code)
		}
	}
	for _, r := range requests {
		if !bytes.Equal(r.body, requests[0].body) || r.invocation != requests[0].invocation {
			t.Errorf("a later attempt sent something else: %q, %q", r.body, requests[0].body)
		}
		if r.op == transactWriteItems && !bytes.Contains(r.body, []byte(`"ClientRequestToken":`)) {
			t.Errorf("%s: no token", r.body)
		}
	}
}

// byStatus are the codes that the SDK makes of a reply to a HEAD.
func byStatus(code string) bool {
	switch code {
	case "Forbidden", "BadRequest", "InternalServerError", "ServiceUnavailable":
		return true
	}
	return false
}

// TestWhatAConnectionGives looks at the errors of single attempts.
func TestWhatAConnectionGives(t *testing.T) {
	for f, want := range connections {
		if want.is == nil || f == ordeal.Late {
			continue
		}
		t.Run(string(f), func(t *testing.T) {
			c := (&service{}).process(t, f)
			once := func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }
			_, err := c.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("state"), Item: itemA}, once)
			timeout := interface{ Timeout() bool }(nil)
			if errors.Is(want.is, os.ErrDeadlineExceeded) && errors.As(err, &timeout) && timeout.Timeout() {
				return
			}
			if !errors.Is(err, want.is) {
				t.Errorf("%v, want %v", err, want.is)
			}
		})
	}
}

func TestNamesOfOperations(t *testing.T) {
	for op, call := range operations {
		var asked []string
		s := &service{}
		c := s.process(t, ordeal.None)
		c.Decide = func(op string) ordeal.Fault { asked = append(asked, op); return ordeal.None }
		if err := call(t.Context(), c); err != nil {
			t.Error(err)
		}
		want := op
		if op == batchWriteItem {
			want = "hints.BatchWriteItem"
		}
		if len(asked) != 1 || asked[0] != want {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
}

// TestHalfABatch: a part is done, the client learns of the rest, and sends that in a call of its own.
func TestHalfABatch(t *testing.T) {
	for f, want := range map[ordeal.Fault]struct {
		first, rest string // keys
		refused     bool
	}{
		"first half":                   {"a", "bc", false},
		"last half":                    {"c", "ab", false},
		"first half, the rest refused": {"a", "bc", true},
		"last half, the rest refused":  {"c", "ab", true},
	} {
		t.Run(string(f), func(t *testing.T) {
			s := &service{}
			c := s.process(t, f)
			write := func(requests []types.WriteRequest) (*dynamodb.BatchWriteItemOutput, error) {
				return c.db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{
					RequestItems: map[string][]types.WriteRequest{"hints": requests}})
			}
			out, err := write(writeRequests(itemA, itemB, itemC))
			if err != nil || written(t, s.taken()) != want.first {
				t.Fatalf("want %s done: %v", want.first, err)
			}
			rest := out.UnprocessedItems["hints"]
			if len(rest) != 2 {
				t.Fatalf("the rest is %v", rest)
			}
			if _, err := write(rest); (err != nil) != want.refused {
				t.Fatalf("the rest: %v", err)
			}
			if done := written(t, s.taken()); !want.refused && done != want.rest || want.refused && done != "" {
				t.Fatalf("the rest: done %q", done)
			}
			if _, err := write(rest); err != nil || written(t, s.taken()) != want.rest {
				t.Fatalf("once more: %v", err)
			}
		})
	}
}

// written returns the keys of what was written.
func written(t *testing.T, requests []sent) (keys string) {
	t.Helper()
	for _, r := range requests {
		var body struct {
			RequestItems map[string][]struct {
				PutRequest struct {
					Item struct{ PK struct{ S string } }
				}
			}
		}
		if err := json.Unmarshal(r.body, &body); err != nil {
			t.Fatal(err)
		}
		for _, w := range body.RequestItems["hints"] {
			keys += w.PutRequest.Item.PK.S
		}
	}
	return keys
}

func TestABatchOfOneIsNotDone(t *testing.T) {
	s := &service{}
	c := s.process(t, "first half")
	out, err := c.db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{
		RequestItems: map[string][]types.WriteRequest{"hints": writeRequests(itemA)}})
	if err != nil || len(out.UnprocessedItems["hints"]) != 1 || len(s.taken()) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestHalfARead(t *testing.T) {
	s := &service{}
	c := s.process(t, "first half")
	out, err := c.db.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		"state": {Keys: []map[string]types.AttributeValue{itemA, itemB}, ConsistentRead: aws.Bool(true)}}})
	if err != nil {
		t.Fatal(err)
	}
	rest := out.UnprocessedKeys["state"]
	if len(rest.Keys) != 1 || text(rest.Keys[0], "pk") != "b" || !aws.ToBool(rest.ConsistentRead) {
		t.Errorf("the rest is %+v", rest)
	}
	if r := s.taken(); len(r) != 1 || bytes.Contains(r[0].body, []byte(`"S":"b"`)) || !bytes.Contains(r[0].body, []byte(`"S":"a"`)) {
		t.Errorf("sent %s", r)
	}
}

func TestHalfADelete(t *testing.T) {
	for _, code := range []string{"InternalError", "AccessDenied"} {
		s := &service{}
		c := s.process(t, ordeal.Fault("first half, the rest "+code))
		out, err := c.objects.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: aws.String("b"),
			Delete: &s3types.Delete{Quiet: aws.Bool(true), Objects: []s3types.ObjectIdentifier{
				{Key: aws.String("x"), VersionId: aws.String("v1")}, {Key: aws.String("y"), VersionId: aws.String("v2")}}}})
		if err != nil || len(out.Errors) != 1 || *out.Errors[0].Key != "y" || *out.Errors[0].VersionId != "v2" ||
			*out.Errors[0].Code != code {
			t.Fatalf("%+v, %v", out, err)
		}
		r := s.taken()
		if len(r) != 1 || bytes.Contains(r[0].body, []byte("<Key>y<")) || !bytes.Contains(r[0].body, []byte("<VersionId>v1<")) {
			t.Errorf("sent %s", r)
		}
	}
}

func TestShortPages(t *testing.T) {
	s := &service{}
	if err := operations[query](t.Context(), s.process(t, "short page")); err != nil {
		t.Fatal(err)
	}
	if err := operations[s3ListObjectVersions](t.Context(), s.process(t, "short page")); err != nil {
		t.Fatal(err)
	}
	if r := s.taken(); !bytes.Contains(r[0].body, []byte(`"Limit":1`)) || !strings.Contains(r[1].query, "max-keys=1") {
		t.Errorf("sent %s, %s", r[0].body, r[1].query)
	}
}

func TestAFaultThatAnOperationDoesNotHave(t *testing.T) {
	s := &service{}
	if err := operations[query](t.Context(), s.process(t, "late")); err == nil || len(s.taken()) > 0 {
		t.Errorf("%v", err)
	}
}
