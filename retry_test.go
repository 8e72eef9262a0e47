package sdsaws_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/sdsaws/sdsaws"
)

// reply answers one request, or fails as a transport would.
type reply func(*http.Request) (*http.Response, error)

// stub is an HTTP client that answers attempts in turn, and all later ones with the last
// reply. In a synctest bubble all waiting between attempts takes no time.
type stub struct {
	replies []reply

	mu       sync.Mutex
	attempts []attempt
}

type attempt struct {
	at   time.Time
	body []byte
}

func (s *stub) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	s.mu.Lock()
	n := len(s.attempts)
	s.attempts = append(s.attempts, attempt{time.Now(), body})
	s.mu.Unlock()
	return s.replies[min(n, len(s.replies)-1)](r)
}

func status(code int, body string) reply {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body)),
		}, nil
	}
}

// dynamoError is an error as DynamoDB sends it.
func dynamoError(code int, name string) reply {
	return status(code, fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"m"}`, name))
}

func canceled(reasons ...string) reply {
	var list []string
	for _, r := range reasons {
		list = append(list, fmt.Sprintf(`{"Code":%q}`, r))
	}
	return status(400, fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",`+
		`"CancellationReasons":[%s]}`, strings.Join(list, ",")))
}

func s3Error(code int, name string) reply {
	return status(code, "<Error><Code>"+name+"</Code><Message>m</Message></Error>")
}

func broken(err error) reply {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// hang answers when the attempt is given up.
func hang(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func times(n int, r reply) []reply {
	var rs []reply
	for range n {
		rs = append(rs, r)
	}
	return rs
}

var ok = status(200, "{}")

var credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
})

func dynamoClient(h aws.HTTPClient, endpoint string, p sdsaws.RetryPolicy) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", Credentials: credentials, HTTPClient: h, BaseEndpoint: &endpoint,
	}, p.DynamoDB)
}

func s3Client(h aws.HTTPClient, endpoint string, p sdsaws.RetryPolicy) *s3.Client {
	return s3.New(s3.Options{
		Region: "eu-west-1", Credentials: credentials, HTTPClient: h, BaseEndpoint: &endpoint, UsePathStyle: true,
	}, p.S3)
}

var bigItem = map[string]types.AttributeValue{
	"pk": &types.AttributeValueMemberS{Value: "p"}, "sk": &types.AttributeValueMemberS{Value: "s"},
	"a": &types.AttributeValueMemberN{Value: "1"}, "b": &types.AttributeValueMemberN{Value: "2"},
	"c": &types.AttributeValueMemberB{Value: make([]byte, 1000)},
}

func transact(ctx context.Context, c *dynamodb.Client) error {
	_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("t"), Item: bigItem}},
		{Put: &types.Put{TableName: aws.String("t"), Item: bigItem}},
	}})
	return err
}

func putItem(ctx context.Context, c *dynamodb.Client) error {
	_, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("t"), Item: bigItem})
	return err
}

func putObject(ctx context.Context, c *s3.Client) error {
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"),
		Body: bytes.NewReader(make([]byte, 100_000)), IfNoneMatch: aws.String("*")})
	return err
}

var dynamoCalls = map[string]func(context.Context, *dynamodb.Client) error{
	"PutItem":            putItem,
	"TransactWriteItems": transact,
	"UpdateItem": func(ctx context.Context, c *dynamodb.Client) error {
		_, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: aws.String("t"), Key: bigItem})
		return err
	},
	"GetItem": func(ctx context.Context, c *dynamodb.Client) error {
		_, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("t"), Key: bigItem})
		return err
	},
	"Query": func(ctx context.Context, c *dynamodb.Client) error {
		_, err := c.Query(ctx, &dynamodb.QueryInput{TableName: aws.String("t")})
		return err
	},
	"BatchWriteItem": func(ctx context.Context, c *dynamodb.Client) error {
		_, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
			"t": {{PutRequest: &types.PutRequest{Item: bigItem}}}}})
		return err
	},
}

var s3Calls = map[string]func(context.Context, *s3.Client) error{
	"PutObject": putObject,
	"DeleteObject": func(ctx context.Context, c *s3.Client) error {
		_, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
		return err
	},
}

// errorCode is one line of an operation's documented errors.
type errorCode struct {
	status  int
	name    string
	retried bool
}

var dynamoCommon = []errorCode{
	{400, "AccessDeniedException", false},
	{400, "ExpiredTokenException", false},
	{400, "IncompleteSignatureException", false},
	{400, "InvalidSignatureException", false},
	{400, "MissingAuthenticationTokenException", false},
	{403, "UnrecognizedClientException", false},
	{400, "ResourceNotFoundException", false},
	{400, "SerializationException", false},
	{400, "ValidationException", false},
	{413, "RequestEntityTooLarge", false},
	{400, "ProvisionedThroughputExceededException", true},
	{400, "RequestLimitExceeded", true},
	{400, "ThrottlingException", true},
	{500, "InternalServerError", true},
	{503, "ServiceUnavailable", true},
	{502, "", true},
	{504, "", true},
}

var dynamoOwn = map[string][]errorCode{
	"PutItem":        singleWrite,
	"UpdateItem":     singleWrite,
	"BatchWriteItem": {{400, "ItemCollectionSizeLimitExceededException", false}, {400, "ReplicatedWriteConflictException", true}},
	"TransactWriteItems": {
		{400, "IdempotentParameterMismatchException", false},
		{400, "TransactionCanceledException", false}, // reasons have a test of their own
		{400, "TransactionInProgressException", true},
	},
}

var singleWrite = []errorCode{
	{400, "ConditionalCheckFailedException", false},
	{400, "ItemCollectionSizeLimitExceededException", false},
	{400, "TransactionConflictException", true},
	{400, "ReplicatedWriteConflictException", true},
}

var s3Codes = []errorCode{
	{403, "AccessDenied", false},
	{403, "InvalidAccessKeyId", false},
	{403, "SignatureDoesNotMatch", false},
	{400, "ExpiredToken", false},
	{404, "NoSuchBucket", false},
	{400, "EntityTooLarge", false},
	{400, "InvalidRequest", false},
	{501, "NotImplemented", false},
	{412, "PreconditionFailed", false},
	{409, "ConditionalRequestConflict", true},
	{409, "OperationAborted", true},
	{400, "RequestTimeout", true},
	{500, "InternalError", true},
	{503, "ServiceUnavailable", true},
	{503, "SlowDown", true},
}

func TestRetryByErrorCode(t *testing.T) {
	for name, call := range dynamoCalls {
		for _, c := range append(dynamoOwn[name], dynamoCommon...) {
			t.Run(fmt.Sprintf("%s/%d %s", name, c.status, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &stub{replies: []reply{dynamoError(c.status, c.name), ok}}
					err := call(t.Context(), dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
					checkRetried(t, s, c, err)
				})
			})
		}
	}
	for name, call := range s3Calls {
		for _, c := range s3Codes {
			t.Run(fmt.Sprintf("%s/%d %s", name, c.status, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := &stub{replies: []reply{s3Error(c.status, c.name), status(200, "")}}
					err := call(t.Context(), s3Client(s, "https://stub", sdsaws.RetryPolicy{}))
					checkRetried(t, s, c, err)
				})
			})
		}
	}
}

func checkRetried(t *testing.T, s *stub, c errorCode, err error) {
	t.Helper()
	want := 1
	if c.retried {
		want = 2
	}
	if len(s.attempts) != want {
		t.Errorf("%d attempts, want %d: %v", len(s.attempts), want, err)
	}
	var api smithy.APIError
	switch {
	case c.retried && err != nil:
		t.Errorf("retried, and failed: %v", err)
	case !c.retried && (!errors.As(err, &api) || api.ErrorCode() != c.name):
		t.Errorf("error %v, want code %s", err, c.name)
	}
	checkSame(t, s)
}

// checkSame checks that all attempts carried the same bytes.
func checkSame(t *testing.T, s *stub) {
	t.Helper()
	for i, a := range s.attempts {
		if !bytes.Equal(a.body, s.attempts[0].body) {
			t.Errorf("attempt %d sent other bytes than the first:\n%q\n%q", i+1, a.body, s.attempts[0].body)
		}
	}
}

func TestRetryByCancellationReasons(t *testing.T) {
	for _, c := range []struct {
		reasons []string
		retried bool
	}{
		{nil, false},
		{[]string{"None", "None"}, false},
		{[]string{"", "TransactionConflict"}, false},
		{[]string{"TransactionConflict"}, true},
		{[]string{"None", "TransactionConflict"}, true},
		{[]string{"ThrottlingError", "None"}, true},
		{[]string{"None", "ProvisionedThroughputExceeded", "None"}, true},
		{[]string{"RequestLimitExceeded"}, true},
		{[]string{"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}, true},
		{[]string{"ConditionalCheckFailed", "None"}, false},
		{[]string{"ConditionalCheckFailed", "TransactionConflict"}, false},
		{[]string{"TransactionConflict", "ConditionalCheckFailed"}, false},
		{[]string{"TransactionConflict", "ItemCollectionSizeLimitExceeded"}, false},
		{[]string{"ThrottlingError", "ValidationError"}, false},
		{[]string{"TransactionConflict", "DuplicateItem"}, false},
		{[]string{"TransactionConflict", "AccessDenied"}, false},
		{[]string{"TransactionConflict", "SomethingNew"}, false},
	} {
		t.Run(strings.Join(c.reasons, "+"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stub{replies: []reply{canceled(c.reasons...), ok}}
				err := transact(t.Context(), dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
				checkRetried(t, s, errorCode{400, "TransactionCanceledException", c.retried}, err)
			})
		})
	}
}

// A transaction in progress is asked for until an attempt is late enough to take over,
// however the jitter falls.
func TestRetryTransactionInProgress(t *testing.T) {
	for _, p := range []sdsaws.RetryPolicy{{}, {MaxAttempts: 2}, {MaxBackoff: time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			s := &stub{replies: []reply{func(r *http.Request) (*http.Response, error) {
				if time.Since(start) > 5*time.Second {
					return ok(r)
				}
				return dynamoError(400, "TransactionInProgressException")(r)
			}}}
			if err := transact(t.Context(), dynamoClient(s, "https://stub", p)); err != nil {
				t.Errorf("after %v and %d attempts: %v", time.Since(start), len(s.attempts), err)
			}
			checkSame(t, s)
		})
	}
}

// The numbers in the documentation of RetryPolicy.
func TestRetryIsBounded(t *testing.T) {
	type call func(context.Context, *stub) error
	onDynamo := func(ctx context.Context, s *stub) error {
		return transact(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
	}
	onS3 := func(ctx context.Context, s *stub) error {
		return putObject(ctx, s3Client(s, "https://stub", sdsaws.RetryPolicy{}))
	}
	for _, c := range []struct {
		name     string
		call     call
		reply    reply
		attempts int
		most     time.Duration
	}{
		{"outage", onDynamo, dynamoError(503, ""), 8, 6400 * time.Millisecond},
		{"no connection", onDynamo, broken(io.EOF), 8, 6400 * time.Millisecond},
		{"conflict", onDynamo, canceled("TransactionConflict"), 8, 6400 * time.Millisecond},
		{"throttled", onDynamo, canceled("ThrottlingError"), 8, 22500 * time.Millisecond},
		{"in progress", onDynamo, dynamoError(400, "TransactionInProgressException"), 8, 23 * time.Second},
		{"no answer", onDynamo, hang, 0, 35 * time.Second},
		{"S3 outage", onS3, s3Error(500, "InternalError"), 8, 6400 * time.Millisecond},
		{"S3 throttled", onS3, s3Error(503, "SlowDown"), 8, 22500 * time.Millisecond},
		{"S3 no answer", onS3, hang, 0, 90 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 20 {
				synctest.Test(t, func(t *testing.T) {
					start, s := time.Now(), &stub{replies: []reply{c.reply}}
					if err := c.call(t.Context(), s); err == nil {
						t.Error("no error")
					}
					if took := time.Since(start); took > c.most {
						t.Errorf("took %v, documented are %v", took, c.most)
					}
					if c.attempts != 0 && len(s.attempts) != c.attempts {
						t.Errorf("%d attempts, documented are %d", len(s.attempts), c.attempts)
					}
					checkSame(t, s)
				})
			}
		})
	}
}

func TestRetryWaitsLongerWhenThrottled(t *testing.T) {
	took := func(r reply) (d time.Duration) {
		for range 50 {
			synctest.Test(t, func(t *testing.T) {
				start, s := time.Now(), &stub{replies: []reply{r, r, r, ok}}
				if err := putItem(t.Context(), dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})); err != nil {
					t.Fatal(err)
				}
				d += time.Since(start)
			})
		}
		return d
	}
	fault, throttle := took(dynamoError(500, "")), took(dynamoError(400, "ThrottlingException"))
	if throttle < 5*fault {
		t.Errorf("throttled calls waited %v, failed ones %v", throttle, fault)
	}
}

// TestOverloadSpreadsThrottledCalls has 200 calls throttled at the same moment: they don't come
// back at the same moment, and not more often than the client's quota lets them.
func TestOverloadSpreadsThrottledCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, slot = 200, 100 * time.Millisecond
		start, s := time.Now(), &stub{replies: []reply{dynamoError(400, "ThrottlingException")}}
		c := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})
		var all sync.WaitGroup
		for range calls {
			all.Go(func() {
				if err := putItem(t.Context(), c); err == nil {
					t.Error("no error")
				}
			})
		}
		all.Wait()
		slots := map[time.Duration]int{}
		for _, a := range s.attempts[calls:] {
			slots[a.at.Sub(start)/slot]++
		}
		for at, n := range slots {
			if n > calls/2 { // evenly spread the first 200 would be 40 each
				t.Errorf("%d attempts within 100 ms, after %v", n, at*slot)
			}
		}
		if n := len(s.attempts); n > calls+5000/5 {
			t.Errorf("%d attempts", n)
		}
	})
}

// When the deadline leaves no time, the call ends before it, with both errors.
func TestRetryStartsNothingTheDeadlineCuts(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			deadline, _ := ctx.Deadline()
			s := &stub{replies: []reply{dynamoError(400, "ThrottlingException")}}
			err := putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))

			var throttled *types.ThrottlingException
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &throttled) {
				t.Errorf("%v: not both the deadline and the last attempt's error", err)
			}
			last := s.attempts[len(s.attempts)-1].at
			if left := deadline.Sub(last); len(s.attempts) > 1 && left < 100*time.Millisecond {
				t.Errorf("an attempt began %v before the deadline", left)
			}
			if !time.Now().Equal(last) {
				t.Errorf("waited %v after the last attempt", time.Since(last))
			}
		})
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	var throttled *types.ThrottlingException
	t.Run("in a wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &stub{replies: []reply{dynamoError(400, "ThrottlingException")}}
			result := make(chan error)
			go func() { result <- putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})) }()
			synctest.Wait() // until it waits for its next attempt
			start := time.Now()
			cancel()
			err := <-result
			if !errors.Is(err, context.Canceled) || !errors.As(err, &throttled) {
				t.Errorf("%v: not both the context's and the last attempt's error", err)
			}
			if d := time.Since(start); d != 0 || len(s.attempts) != 1 {
				t.Errorf("went on for %v, %d attempts", d, len(s.attempts))
			}
		})
	})
	t.Run("in a later wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &stub{}
			s.replies = []reply{dynamoError(500, "InternalServerError"), func(r *http.Request) (*http.Response, error) {
				time.AfterFunc(time.Nanosecond, cancel)
				return dynamoError(400, "ThrottlingException")(r)
			}}
			err := putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
			if !errors.Is(err, context.Canceled) || !errors.As(err, &throttled) || len(s.attempts) != 2 {
				t.Errorf("%d attempts, %v", len(s.attempts), err)
			}
			if errors.As(err, new(*types.InternalServerError)) {
				t.Errorf("%v: not only the last attempt's error", err)
			}
		})
	})
	t.Run("in a wait that the service asked for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			s := &stub{replies: []reply{retryAfter(4000, dynamoError(400, "ThrottlingException"))}}
			err := putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
			if !errors.Is(err, context.Canceled) || !errors.As(err, &throttled) || len(s.attempts) != 1 {
				t.Errorf("%d attempts, %v", len(s.attempts), err)
			}
		})
	})
	t.Run("in an attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			s := &stub{replies: []reply{dynamoError(400, "ThrottlingException"), hang}}
			err := putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &throttled) || len(s.attempts) != 2 {
				t.Errorf("%d attempts, %v", len(s.attempts), err)
			}
		})
	})
}

func retryAfter(ms int, r reply) reply {
	return func(req *http.Request) (*http.Response, error) {
		resp, err := r(req)
		resp.Header.Set("X-Amz-Retry-After", fmt.Sprint(ms))
		return resp, err
	}
}

// What the service asks for is waited for once, and counts against the deadline.
func TestRetryAfterHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, s := time.Now(), &stub{replies: []reply{retryAfter(4000, dynamoError(503, "")), ok}}
		if err := putItem(t.Context(), dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d != 4*time.Second {
			t.Errorf("waited %v instead of 4 s", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start, s := time.Now(), &stub{replies: []reply{retryAfter(4000, dynamoError(503, "")), ok}}
		err := putItem(ctx, dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// Conflicts of our own writers use up no quota; an outage does.
func TestRetryQuota(t *testing.T) {
	for _, r := range []reply{canceled("TransactionConflict"), dynamoError(400, "TransactionInProgressException")} {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{replies: append(times(8*200, r), ok, dynamoError(503, ""), ok)}
			c := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})
			for range 200 {
				if err := transact(t.Context(), c); errors.As(err, new(ratelimit.QuotaExceededError)) {
					t.Fatal(err)
				}
			}
			for range 2 {
				if err := transact(t.Context(), c); err != nil {
					t.Errorf("after 200 calls with conflicts: %v", err)
				}
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // a wait that is given up costs nothing
		s := &stub{replies: append(times(1000, dynamoError(503, "")), dynamoError(503, ""), ok)}
		c := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})
		for range 1000 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Nanosecond, cancel)
			if err := putItem(ctx, c); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		if err := putItem(t.Context(), c); err != nil {
			t.Errorf("after 1000 canceled calls: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &stub{replies: []reply{dynamoError(503, "ServiceUnavailable")}}
		c := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if err := putItem(t.Context(), c); err == nil {
					t.Error("no error")
				}
			})
		}
		wg.Wait()
		if n, want := len(s.attempts), 100+5000/14; n != want {
			t.Errorf("100 calls in an outage sent %d requests, want %d", n, want)
		}
	})
}

func TestRetryMaxAttempts(t *testing.T) {
	for _, c := range []struct{ policy, option, want int }{{0, 0, 8}, {0, 3, 3}, {5, 3, 5}, {1, 0, 1}} {
		synctest.Test(t, func(t *testing.T) {
			s := &stub{replies: []reply{dynamoError(500, "")}}
			client := dynamodb.New(dynamodb.Options{
				Region: "eu-west-1", Credentials: credentials, HTTPClient: s, RetryMaxAttempts: c.option,
			}, sdsaws.RetryPolicy{MaxAttempts: c.policy}.DynamoDB)
			if err := putItem(t.Context(), client); err == nil || len(s.attempts) != c.want {
				t.Errorf("policy %d, option %d: %d attempts, %v", c.policy, c.option, len(s.attempts), err)
			}
		})
	}
}

// wire is a server over TCP whose first two answers are faulty.
func wire(t *testing.T, fault http.HandlerFunc, answer string) (*httptest.Server, *stub) {
	seen := &stub{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen.mu.Lock()
		seen.attempts = append(seen.attempts, attempt{time.Now(), body})
		n := len(seen.attempts)
		seen.mu.Unlock()
		if n <= 2 {
			fault(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(srv.Close)
	return srv, seen
}

func hangUp(reset bool, sent string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, sent)
		if reset {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
		_ = conn.Close()
	}
}

// stall sends the beginning of a reply and then nothing until the client goes.
func stall(sent string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if sent != "" {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, sent)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

var wireFaults = map[string]http.HandlerFunc{
	"closed without a reply": hangUp(false, ""),
	"reset":                  hangUp(true, ""),
	"cut in the header":      hangUp(false, "HTTP/1.1 200 OK\r\nContent-"),
	"cut in the body":        hangUp(false, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Attri"),
	"cut chunk":              hangUp(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"Att"),
	"cut in an error":        hangUp(false, "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n{\"__ty"),
	"reset in the body":      hangUp(true, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"Attri"),
	"stalled":                stall(""),
	"stalled in the body":    stall(`{"Attri`),
}

// fast makes faults over TCP take milliseconds.
var fast = sdsaws.RetryPolicy{MaxBackoff: time.Millisecond, AttemptTimeout: 500 * time.Millisecond}

func TestRetryOnTheWire(t *testing.T) {
	for name, fault := range wireFaults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, seen := wire(t, fault, "{}")
			if err := transact(t.Context(), dynamoClient(nil, srv.URL, fast)); err != nil {
				t.Error(err)
			}
			if len(seen.attempts) != 3 {
				t.Errorf("%d attempts, want 3", len(seen.attempts))
			}
			checkSame(t, seen)
			if !bytes.Contains(seen.attempts[0].body, []byte(`"ClientRequestToken":"`)) {
				t.Errorf("no token in %s", seen.attempts[0].body)
			}
		})
		if strings.Contains(name, "body") || strings.Contains(name, "chunk") {
			continue // S3's reply to a PUT is in its header
		}
		t.Run("S3 "+name, func(t *testing.T) {
			t.Parallel()
			srv, seen := wire(t, fault, "")
			if err := putObject(t.Context(), s3Client(nil, srv.URL, fast)); err != nil {
				t.Error(err)
			}
			if len(seen.attempts) != 3 || !bytes.Contains(seen.attempts[0].body, make([]byte, 60_000)) {
				t.Errorf("%d attempts, want 3 with the object's bytes", len(seen.attempts))
			}
			checkSame(t, seen)
		})
	}
}

func TestRetryRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	p := fast
	p.MaxAttempts = 3
	start := time.Now()
	err = putItem(t.Context(), dynamoClient(nil, "http://"+l.Addr().String(), p))
	if err == nil || !strings.Contains(err.Error(), "number of attempts, 3") || time.Since(start) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}

// An attempt's timeout is no sign that the caller's context has ended.
func TestAttemptTimeoutIsNotTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{replies: []reply{hang}}
		err := putItem(t.Context(), dynamoClient(s, "https://stub", sdsaws.RetryPolicy{MaxAttempts: 2}))
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() || len(s.attempts) != 2 {
			t.Errorf("%d attempts, %v", len(s.attempts), err)
		}
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v looks like the end of the caller's context", err)
		}
	})
}

// A streamed object outlives the call that opened it: its reader may take its time, and
// learns of a stall.
func TestRetryStreamedObject(t *testing.T) {
	open := func(t *testing.T, body io.ReadCloser) (*http.Request, io.ReadCloser) {
		var sent *http.Request
		s := &stub{replies: []reply{func(r *http.Request) (*http.Response, error) {
			sent = r
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: -1}, nil
		}}}
		out, err := s3Client(s, "https://stub", sdsaws.RetryPolicy{}).GetObject(t.Context(),
			&s3.GetObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
		if err != nil {
			t.Fatal(err)
		}
		return sent, out.Body
	}
	t.Run("slow reader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			req, body := open(t, io.NopCloser(strings.NewReader("abc")))
			var got []byte
			for b := make([]byte, 1); ; time.Sleep(time.Hour) {
				n, err := body.Read(b)
				got = append(got, b[:n]...)
				if err != nil {
					break
				}
			}
			if req.Context().Err() != nil || string(got) != "abc" {
				t.Errorf("read %q, %v", got, req.Context().Err())
			}
			if _ = body.Close(); req.Context().Err() == nil {
				t.Error("closed, and its context goes on")
			}
		})
	})
	t.Run("stalled sender", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, w := io.Pipe()
			req, body := open(t, r)
			context.AfterFunc(req.Context(), func() { w.CloseWithError(req.Context().Err()) })
			start := time.Now()
			_, err := io.ReadAll(body)
			if err == nil || errors.Is(err, context.Canceled) || time.Since(start) != 30*time.Second {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
			_ = body.Close()
		})
	})
}

func TestRetryConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stub{replies: append(times(60, canceled("TransactionConflict", "ThrottlingError")), ok)}
		c := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{MaxAttempts: 100, MaxElapsed: time.Hour})
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if err := transact(t.Context(), c); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestRetryPolicyLeavesOwnHTTPClients(t *testing.T) {
	s := &stub{}
	if got := dynamoClient(s, "https://stub", sdsaws.RetryPolicy{}).Options().HTTPClient; got != aws.HTTPClient(s) {
		t.Errorf("the caller's HTTP client became %T", got)
	}
	idle := func(c aws.HTTPClient) int {
		return c.(*awshttp.BuildableClient).GetTransport().MaxIdleConnsPerHost
	}
	own := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = 7 })
	if n := idle(dynamoClient(own, "https://stub", sdsaws.RetryPolicy{}).Options().HTTPClient); n != 7 {
		t.Errorf("the caller's 7 idle connections became %d", n)
	}
	if n := idle(s3Client(nil, "https://stub", sdsaws.RetryPolicy{}).Options().HTTPClient); n != 100 {
		t.Errorf("%d idle connections, want 100", n)
	}
}
