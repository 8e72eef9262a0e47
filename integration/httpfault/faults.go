package httpfault

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/sdsaws/sdsaws/internal/ordeal"
)

// fault is what becomes of the first attempt of a call, and of those after it.
type fault struct{ first, later answer }

var none = fault{pass, pass}

// Retried ends the names of faults after which the client's next attempt passes. With all others
// no later attempt of the call is sent.
const Retried = ", then retried"

// done is a fault whose request is done before the client gets the answer.
func done(a answer) answer {
	return func(x *exchange) (*http.Response, error) {
		if err := x.send(); err != nil {
			return nil, err
		}
		return a(x)
	}
}

// late keeps the request. The client gets what a connection gives on which nothing comes back.
func late(x *exchange) (*http.Response, error) {
	x.t.hold(x)
	return nil, errTimeout
}

// Faults returns the faults that an operation can have, those that do the same in one group.
//
// There are those of connections and of time: the reply is lost before it begins, or in the
// middle of it; each with the request done, and "refused" and "timed out" without. And what
// the API reference documents for the operation, beside the errors common to all.
//
// What says something about the data is left out, since the services never say it
// wrongly: ConditionalCheckFailed and PreconditionFailed, NoSuchKey, NoSuchVersion and the 404
// and 405 of a HEAD or a GET. So is a DynamoDB reply whose checksum doesn't fit, which the
// SDK only logs.
func Faults(op string) []ordeal.Group {
	return catalogOf(strings.TrimPrefix(op, hintsPrefix)).groups
}

// catalog is the faults of an operation.
type catalog struct {
	op     string
	faults map[ordeal.Fault]fault
	groups []ordeal.Group
	index  map[string]int // of groups, by what its faults have in common
}

var made = struct {
	sync.Mutex
	catalogs map[string]*catalog
}{catalogs: map[string]*catalog{}}

// catalogOf returns the faults of an operation. It always returns the same.
func catalogOf(op string) *catalog {
	made.Lock()
	defer made.Unlock()
	c := made.catalogs[op]
	if c == nil {
		c = &catalog{op: op, faults: map[ordeal.Fault]fault{}, index: map[string]int{}}
		made.catalogs[op] = c
		c.connection()
		if strings.HasPrefix(op, s3Prefix) {
			c.s3()
		} else {
			c.dynamo()
		}
		c.partial()
		if c.writes() {
			c.alone(ordeal.Late, fault{late, refuse}, true)
		}
	}
	return c
}

func (c *catalog) writes() bool {
	switch c.op {
	case putItem, updateItem, deleteItem, batchWriteItem, transactWriteItems, s3PutObject, s3DeleteObjects:
		return true
	}
	return false
}

func (c *catalog) add(group string, name ordeal.Fault, f fault) {
	i, ok := c.index[group]
	if !ok {
		i = len(c.groups)
		c.index[group] = i
		c.groups = append(c.groups, ordeal.Group{Passes: strings.HasSuffix(string(name), Retried)})
	}
	c.groups[i].Faults = append(c.groups[i].Faults, name)
	c.faults[name] = f
}

// alone adds a fault that does what no other does, and returns its group.
func (c *catalog) alone(name ordeal.Fault, f fault, leaves bool) *ordeal.Group {
	c.add(string(name), name, f)
	g := &c.groups[c.index[string(name)]]
	g.Leaves = leaves
	return g
}

const (
	retriedNotDone = "not done, then retried"
	retriedDone    = "done, then retried"
)

// connection adds those of connections and of time; after them later attempts are refused.
func (c *catalog) connection() {
	c.alone(ordeal.Refuse, fault{refuse, refuse}, true)
	c.alone(ordeal.Lose, fault{done(broken(io.EOF)), refuse}, c.writes())
	c.alone("timed out", fault{hang, refuse}, false)
	c.add(retriedNotDone, ordeal.Refuse+Retried, fault{refuse, pass})
	c.add(retriedNotDone, "timed out"+Retried, fault{hang, pass})
	c.add(retriedDone, ordeal.Lose+Retried, fault{done(broken(io.EOF)), pass})

	broke := func(name ordeal.Fault, a answer) {
		c.add("broke", name, fault{done(a), refuse})
		if c.op != s3GetObject { // its body is read when the call is over: nothing is tried again
			c.add(retriedDone, name+Retried, fault{done(a), pass})
		}
	}
	if c.op != s3GetObject {
		broke("reset", broken(errReset))
	}
	if c.writes() {
		broke("timed out, done", hang)
	}
	if c.op != s3HeadObject { // has no body
		broke("reset in the reply", cut(errReset))
		broke("cut", cut(io.ErrUnexpectedEOF))
		broke("stalled", stall)
	}
	if c.op == s3GetObject {
		c.alone("altered", fault{done(altered), refuse}, false)
	}
}

// final adds errors after which the client doesn't try again.
func (c *catalog) final(status int, codes ...string) {
	for _, code := range codes {
		a := failed(status, code)
		c.add("final error", ordeal.Fault(code), fault{a, a})
	}
}

// passing adds errors of a group after which it does.
func (c *catalog) passing(group string, a answer, name ordeal.Fault) {
	c.add(group, name, fault{a, a})
	c.add(retriedNotDone, name+Retried, fault{a, pass})
}

func (c *catalog) throttling(status int, codes ...string) {
	for _, code := range codes {
		c.passing("throttled", failed(status, code), ordeal.Fault(code))
	}
}

func (c *catalog) conflicts(status int, codes ...string) {
	for _, code := range codes {
		c.passing("conflict", failed(status, code), ordeal.Fault(code))
	}
}

// perhaps adds an error that doesn't say whether the request was done.
func (c *catalog) perhaps(status int, code string) {
	a := failed(status, code)
	c.passing("service error", a, ordeal.Fault(code))
	if c.writes() {
		name := ordeal.Fault(code) + ", done"
		c.add("service error, done", name, fault{done(a), a})
		c.add(retriedDone, name+Retried, fault{done(a), pass})
	}
}

// dynamo adds what https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/ says of an
// operation, and what CommonErrors and the developer guide's Programming.Errors say of all.
func (c *catalog) dynamo() {
	c.final(http.StatusBadRequest, "AccessDeniedException", "ExpiredTokenException", "InvalidSignatureException",
		"UnrecognizedClientException", "ResourceNotFoundException", "SerializationException", "ValidationException")
	c.throttling(http.StatusBadRequest, "ProvisionedThroughputExceededException", "RequestLimitExceeded",
		"ThrottlingException")
	c.perhaps(http.StatusInternalServerError, "InternalServerError")
	c.perhaps(http.StatusServiceUnavailable, "ServiceUnavailable")
	switch c.op {
	case putItem, updateItem, deleteItem:
		c.final(http.StatusBadRequest, "ItemCollectionSizeLimitExceededException")
		c.conflicts(http.StatusBadRequest, "TransactionConflictException", "ReplicatedWriteConflictException")
	case batchWriteItem:
		c.final(http.StatusBadRequest, "ItemCollectionSizeLimitExceededException")
		c.conflicts(http.StatusBadRequest, "ReplicatedWriteConflictException")
	case transactWriteItems:
		c.transactions()
	}
}

// transactions adds what they alone have. A transaction that is in progress or whose token was
// used came from an attempt, or a call, before: so both have a variant that is done.
func (c *catalog) transactions() {
	const mismatch = "IdempotentParameterMismatchException"
	a := failed(http.StatusBadRequest, mismatch)
	c.alone(mismatch, fault{a, a}, false)
	c.alone(mismatch+", done", fault{done(a), a}, false)
	c.perhaps(http.StatusBadRequest, "TransactionInProgressException")
	name := func(reason string) ordeal.Fault {
		return ordeal.Fault("TransactionCanceledException[" + reason + "]")
	}
	const conflict = "TransactionConflict"
	c.passing("conflict", canceled(conflict, false), name(conflict))
	for _, reason := range []string{"ThrottlingError", "ProvisionedThroughputExceeded"} {
		c.passing("throttled", canceled(reason, true), name(reason))
	}
	for _, reason := range []string{"ItemCollectionSizeLimitExceeded", "ValidationError"} {
		a := canceled(reason, true)
		c.add("final error", name(reason), fault{a, a})
	}
}

// s3 adds what https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html says.
func (c *catalog) s3() {
	c.final(http.StatusForbidden, "AccessDenied")
	c.final(http.StatusBadRequest, "InvalidRequest")
	c.perhaps(http.StatusInternalServerError, "InternalError")
	c.perhaps(http.StatusServiceUnavailable, "ServiceUnavailable")
	if c.op == s3HeadObject { // has no body to name a code in: its status is all there is
		return
	}
	c.final(http.StatusForbidden, "InvalidAccessKeyId", "SignatureDoesNotMatch")
	c.final(http.StatusBadRequest, "ExpiredToken")
	c.final(http.StatusNotFound, "NoSuchBucket")
	c.throttling(http.StatusServiceUnavailable, "SlowDown")
	c.conflicts(http.StatusConflict, "OperationAborted")
	switch c.op {
	case s3PutObject:
		c.final(http.StatusBadRequest, "EntityTooLarge", "BadDigest", "IncompleteBody")
		c.throttling(http.StatusBadRequest, "RequestTimeout")
		c.conflicts(http.StatusConflict, "ConditionalRequestConflict")
	case s3GetObject:
		c.final(http.StatusForbidden, "InvalidObjectState")
	case s3DeleteObjects:
		c.final(http.StatusBadRequest, "BadDigest", "MalformedXML")
		c.throttling(http.StatusBadRequest, "RequestTimeout")
	}
}
