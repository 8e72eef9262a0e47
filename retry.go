package sdsaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// RetryPolicy is what the clients for DynamoDB and S3 try again, how often and for
// how long. The zero value is the policy that [Open] uses. Its methods are options
// for clients:
//
//	dynamodb.NewFromConfig(cfg, sdsaws.RetryPolicy{}.DynamoDB)
//	s3.NewFromConfig(cfg, sdsaws.RetryPolicy{}.S3)
//
// Tried again are throttling, HTTP 500 to 504, faults of the connection, replies that
// don't come or are cut short, conflicts with another writer, and a transaction that
// is still in progress. A canceled transaction is tried again if each of its reasons
// is a conflict or throttling. All attempts of a call send the same body and
// the same client request token. Nothing else is tried again: a failed condition, a
// request that is invalid, refused or too large.
//
// An attempt that fails may have been carried out. A condition that fails after it
// may have been failed by it; the error doesn't say so, whoever sent the call has to
// read what is there.
//
// Before retry n the client waits a random time of at most 50 ms × 2ⁿ⁻¹, after
// throttling and transactions in progress 500 ms × 2ⁿ⁻¹, and never over MaxBackoff.
// With the defaults eight attempts that fail at once take 6.4 s at most, throttled ones
// 22.5 s; a service that doesn't answer at all costs 35 s (S3: 90 s). If the context's
// deadline leaves no time for the wait and 100 ms more, the call returns
// at once, with an error that is both the last attempt's and
// [context.DeadlineExceeded]. A context that ends during a wait or an attempt ends the
// call, likewise with both errors.
type RetryPolicy struct {
	// MaxAttempts is how often a call is sent, the first time included. Zero means
	// the client's RetryMaxAttempts (AWS_MAX_ATTEMPTS) if that is set, or else 8.
	MaxAttempts int

	// MaxBackoff is the longest wait between two attempts that the client chooses by
	// itself; a transaction in progress can take a little longer. Zero means 5 s.
	MaxBackoff time.Duration

	// MaxElapsed is how long after the start of the call its last attempt may begin.
	// Zero means 30 s for DynamoDB and 60 s for S3.
	MaxElapsed time.Duration

	// AttemptTimeout is how long an attempt waits for its reply to begin, and then
	// for each further part of it. For S3 it has to suffice for the upload.
	// Zero means 5 s for DynamoDB and 30 s for S3.
	AttemptTimeout time.Duration

	// OnRetry is told of each attempt that failed and is made again, before the wait. It is
	// called by many goroutines and must return soon.
	OnRetry func(Retry)
}

// Retry is an attempt of a request that failed and is made again.
type Retry struct {
	Service string // "dynamodb" or "s3"
	Reason  RetryReason
}

// RetryReason says why an attempt is made again.
type RetryReason string

// Why attempts are made again.
const (
	RetryThrottled  RetryReason = "throttled"   // the service wants fewer requests
	RetryConflict   RetryReason = "conflict"    // another writer was there
	RetryInProgress RetryReason = "in_progress" // an earlier attempt of the transaction is still at work
	RetryCutShort   RetryReason = "cut_short"   // the reply was
	RetryOther      RetryReason = "other"       // no reply, a broken connection, HTTP 500 to 504
)

// DynamoDB makes a client follow the policy, whatever retryer it had. It also keeps
// up to 100 idle connections instead of 10, unless the HTTP client is the caller's own.
func (p RetryPolicy) DynamoDB(o *dynamodb.Options) {
	// DynamoDB answers in milliseconds. A reply that takes 5 s was lost, and only a
	// timeout tells: the SDK has none, and without a reset it would wait for ever.
	p = p.or(RetryPolicy{MaxAttempts: o.RetryMaxAttempts, MaxElapsed: 30 * time.Second, AttemptTimeout: 5 * time.Second})
	o.Retryer, o.RetryMaxAttempts = newRetryer("dynamodb", p), 0
	o.APIOptions = append(o.APIOptions, p.middlewares)
	o.HTTPClient = manyConnections(o.HTTPClient)
}

// S3 makes a client follow the policy, whatever retryer it had. It also keeps up to
// 100 idle connections instead of 10, unless the HTTP client is the caller's own.
func (p RetryPolicy) S3(o *s3.Options) {
	// Bodies are megabytes, and their upload is part of the wait for the reply.
	p = p.or(RetryPolicy{MaxAttempts: o.RetryMaxAttempts, MaxElapsed: 60 * time.Second, AttemptTimeout: 30 * time.Second})
	o.Retryer, o.RetryMaxAttempts = newRetryer("s3", p), 0
	o.APIOptions = append(o.APIOptions, p.middlewares)
	o.HTTPClient = manyConnections(o.HTTPClient)
}

// or fills in what is zero, from d and then from what all clients have in common.
func (p RetryPolicy) or(d RetryPolicy) RetryPolicy {
	return RetryPolicy{
		MaxAttempts:    positive(p.MaxAttempts, d.MaxAttempts, 8),
		MaxBackoff:     positive(p.MaxBackoff, 5*time.Second),
		MaxElapsed:     positive(p.MaxElapsed, d.MaxElapsed),
		AttemptTimeout: positive(p.AttemptTimeout, d.AttemptTimeout),
		OnRetry:        p.OnRetry,
	}
}

func positive[T int | time.Duration](values ...T) T {
	for _, v := range values {
		if v > 0 {
			return v
		}
	}
	return 0
}

// manyConnections lets one connection per busy channel stay open: with the SDK's ten
// the eleventh channel pays for a TLS handshake with every commit.
func manyConnections(c aws.HTTPClient) aws.HTTPClient {
	client, ok := c.(*awshttp.BuildableClient)
	if !ok {
		return c
	}
	return client.WithTransportOptions(func(t *http.Transport) {
		if t.MaxIdleConnsPerHost == awshttp.DefaultHTTPTransportMaxIdleConnsPerHost {
			t.MaxIdleConnsPerHost = awshttp.DefaultHTTPTransportMaxIdleConns
		}
	})
}

// fault is what a failed attempt tells about the next one.
type fault int

const (
	faultOther      fault = iota // the SDK's own checks decide
	faultFinal                   // the next attempt would fail as well
	faultBroken                  // the reply was cut short
	faultConflict                // another writer was there, and will be gone soon
	faultThrottle                // the service wants fewer requests
	faultInProgress              // an earlier attempt of this transaction is still at work
)

var reasons = map[fault]RetryReason{
	faultOther: RetryOther, faultBroken: RetryCutShort, faultConflict: RetryConflict,
	faultThrottle: RetryThrottled, faultInProgress: RetryInProgress,
}

// errorCode returns AWS's code for an error, and of a canceled transaction that of a reason; "" when
// the error isn't AWS's.
func errorCode(err error) string {
	if canceled := (*types.TransactionCanceledException)(nil); errors.As(err, &canceled) {
		for _, r := range canceled.CancellationReasons {
			if code := aws.ToString(r.Code); code != "None" && code != "" {
				return code
			}
		}
	}
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// conflicts are the error codes that ask for the same request again. The SDK gives up
// on all of them. OperationAborted is S3's other 409 that says so.
var conflicts = map[string]bool{
	"TransactionConflictException":     true,
	"ReplicatedWriteConflictException": true,
	"ConditionalRequestConflict":       true,
	"OperationAborted":                 true,
}

func faultOf(err error) fault {
	if canceled := (*types.TransactionCanceledException)(nil); errors.As(err, &canceled) {
		return cancellationFault(canceled.CancellationReasons)
	}
	var api smithy.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode() == "TransactionInProgressException":
		// The SDK counts it as throttling, which would cost retry quota.
		return faultInProgress
	case errors.As(err, &api) && conflicts[api.ErrorCode()]:
		return faultConflict
	case retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err).Bool():
		return faultThrottle
	case errors.Is(err, io.ErrUnexpectedEOF):
		// The SDK takes half a reply for a malformed one and gives up.
		return faultBroken
	}
	return faultOther
}

// cancellationFault reads the reasons of a canceled transaction, of which there is
// one per action. The codes are those of the API reference and, in case
// transactions share them, of PartiQL batches. One reason that stays makes the whole
// transaction fail again, and no reasons at all say nothing of a passing fault.
func cancellationFault(reasons []types.CancellationReason) fault {
	worst := faultFinal
	for _, r := range reasons {
		switch aws.ToString(r.Code) {
		case "None":
		case "TransactionConflict":
			worst = max(worst, faultConflict)
		case "ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded":
			worst = max(worst, faultThrottle)
		default:
			return faultFinal
		}
	}
	return worst
}

// retryer is the SDK's standard retryer with our judgement of errors in front of its
// own, and with waits that know the call's context.
type retryer struct {
	*retry.Standard
	service string
	policy  RetryPolicy
}

var _ aws.RetryerV2 = (*retryer)(nil)

// retryQuota bounds, per client, what an outage adds to the load: the SDK takes 14 of
// it for a retry and 5 for a throttled one, returns that if the retry succeeds, and
// adds 1 for a call that needs none. Its own 500 is used up by five calls in a
// blip of a second; ours by 50, or 140 throttled ones. A client has one call per
// channel under way, so what it can do wrong is bounded anyway.
const retryQuota = 5000

func newRetryer(service string, p RetryPolicy) *retryer {
	judge := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		switch faultOf(err) {
		case faultOther:
			return aws.UnknownTernary
		case faultFinal:
			return aws.FalseTernary
		}
		return aws.TrueTernary
	})
	throttled := retry.IsErrorThrottleFunc(func(err error) aws.Ternary {
		return aws.BoolTernary(faultOf(err) == faultThrottle)
	})
	return &retryer{service: service, policy: p, Standard: retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = p.MaxAttempts
		o.Retryables = append([]retry.IsErrorRetryable{judge}, o.Retryables...)
		o.Throttles = []retry.IsErrorThrottle{throttled}
		o.RateLimiter = ratelimit.NewTokenRateLimit(retryQuota)
	})}
}

// RetryDelay is zero: GetRetryToken, which the SDK calls right before, has waited. It
// knows the context, and the SDK adds the error it returns to the attempt's, whereas
// a context that ends in the SDK's own wait hides the attempt's.
func (r *retryer) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

// GetRetryToken waits until the next attempt may start, or says why there is none.
func (r *retryer) GetRetryToken(ctx context.Context, failed error) (func(error) error, error) {
	call := callOf(ctx)
	call.retries++
	call.failed = nil // the SDK returns it, if this doesn't end in an attempt
	kind, asked := faultOf(failed), retryAfter(failed)
	wait := max(r.delay(call, kind), asked)
	if err := r.leavesTime(ctx, call, wait); err != nil {
		return nil, err
	}
	release := func(error) error { return nil }
	if kind != faultConflict && kind != faultInProgress {
		// Those come from a service that works, and from our own writers: quota lost
		// to them would make a later call fail that has met a real fault.
		var err error
		if release, err = r.Standard.GetRetryToken(ctx, failed); err != nil {
			return nil, err
		}
	}
	if f := r.policy.OnRetry; f != nil {
		f(Retry{r.service, reasons[kind]})
	}
	// What the service asked for is waited for by the SDK.
	if err := sleep(ctx, wait-asked); err != nil {
		_ = release(nil) // unused
		return nil, err
	}
	call.failed = failed
	return release, nil
}

const (
	baseDelay         = 50 * time.Millisecond
	throttleBaseDelay = 500 * time.Millisecond

	// A transaction coordinator takes over what an earlier attempt left unfinished,
	// but only for an attempt that arrives more than five seconds after it. Counted
	// from the first TransactionInProgressException, which is later than that attempt,
	// for when it reached the coordinator isn't known.
	takeOverDelay = 5250 * time.Millisecond
)

// delay is exponential with full jitter, which spreads writers that failed together
// best.
func (r *retryer) delay(call *call, kind fault) time.Duration {
	base := baseDelay
	if kind == faultThrottle || kind == faultInProgress {
		base = throttleBaseDelay
	}
	ceiling := min(base<<min(call.retries-1, 20), r.policy.MaxBackoff)
	d := rand.N(ceiling + 1) //nolint:gosec // jitter
	if kind != faultInProgress {
		return d
	}
	if call.inProgress.IsZero() {
		call.inProgress = time.Now()
	}
	if call.retries == r.policy.MaxAttempts-1 {
		d = max(d, time.Until(call.inProgress.Add(takeOverDelay)))
	}
	return d
}

// minAttempt is what the deadline has to leave for an attempt: the round trip, the
// write to two zones, and a TLS handshake on a new connection.
const minAttempt = 100 * time.Millisecond

func (r *retryer) leavesTime(ctx context.Context, call *call, wait time.Duration) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait+minAttempt {
		return fmt.Errorf("sdsaws: no time for attempt %d: %w",
			call.retries+1, context.DeadlineExceeded)
	}
	if time.Since(call.started)+wait > r.policy.MaxElapsed {
		return fmt.Errorf("sdsaws: gave up after %d attempts in %v",
			call.retries, time.Since(call.started).Round(time.Millisecond))
	}
	return nil
}

// retryAfter is what the SDK makes of the service's X-Amz-Retry-After after our zero
// delay: milliseconds, at most five seconds.
func retryAfter(err error) time.Duration {
	var reply *smithyhttp.ResponseError
	if !errors.As(err, &reply) || reply.Response == nil || reply.Response.Response == nil {
		return 0
	}
	ms, err := strconv.ParseInt(reply.Response.Header.Get("X-Amz-Retry-After"), 10, 64)
	if err != nil || ms < 0 {
		return 0
	}
	return time.Duration(min(ms, 5000)) * time.Millisecond
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// call is what is known of one API call across its attempts, which follow each other
// in one goroutine.
type call struct {
	started    time.Time
	retries    int
	inProgress time.Time // of the first TransactionInProgressException
	failed     error     // of the attempt before the one under way
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	if c, ok := middleware.GetStackValue(ctx, callKey{}).(*call); ok {
		return c
	}
	return &call{started: time.Now()} // the retryer alone, on a client without our middleware
}

// middlewares adds what the SDK's retryer can't do: see the whole call, and end a
// single attempt.
func (p RetryPolicy) middlewares(stack *middleware.Stack) error {
	if err := stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("sdsaws:call", trackCall),
		"Retry", middleware.Before); err != nil {
		return err
	}
	// Innermost, so that all that reads the reply is timed, and nothing else.
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("sdsaws:attempt", p.timeAttempt),
		middleware.After)
}

// trackCall returns the attempt before beside the one that the context ended.
func trackCall(
	ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
) (middleware.FinalizeOutput, middleware.Metadata, error) {
	c := &call{started: time.Now()}
	out, meta, err := next.HandleFinalize(middleware.WithStackValue(ctx, callKey{}, c), in)
	if err != nil && ctx.Err() != nil && c.failed != nil {
		err = fmt.Errorf("%w, after %w", err, c.failed)
	}
	return out, meta, err
}

// timeAttempt ends an attempt whose reply stalls.
func (p RetryPolicy) timeAttempt(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	stalled := &attemptTimeoutError{p.AttemptTimeout}
	timer := time.AfterFunc(p.AttemptTimeout, func() { cancel(stalled) })
	out, meta, err := next.HandleDeserialize(ctx, in)
	timer.Stop()
	reply, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok {
		if errors.Is(context.Cause(ctx), stalled) {
			err = stalled
		}
		cancel(nil)
		return out, meta, err
	}
	reply.Body = &timedBody{reply.Body, ctx, cancel, timer, stalled}
	return out, meta, nil
}

// timedBody is the body of a reply, each read of which has the attempt's timeout. A
// reader that takes its time between reads, as of a large object, isn't timed.
type timedBody struct {
	io.ReadCloser
	ctx     context.Context // of the attempt, which ends when the body is closed
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	stalled *attemptTimeoutError
}

func (b *timedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stalled.after)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), b.stalled) {
		err = b.stalled
	}
	return n, err
}

func (b *timedBody) Close() error {
	b.timer.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}

// attemptTimeoutError wraps nothing: it must not look like the end of the caller's
// context, which the SDK never retries.
type attemptTimeoutError struct{ after time.Duration }

func (e *attemptTimeoutError) Error() string {
	return fmt.Sprintf("sdsaws: no reply within %v; the request may have been carried out", e.after)
}

func (*attemptTimeoutError) Timeout() bool { return true }

// RetryableError tells the SDK's own checks.
func (*attemptTimeoutError) RetryableError() bool { return true }
