package httpfault

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// answer is what a client gets.
type answer func(*exchange) (*http.Response, error)

func pass(x *exchange) (*http.Response, error) {
	if err := x.send(); err != nil {
		return nil, err
	}
	return x.response(), nil
}

// broken fails as a connection does.
func broken(err error) answer {
	return func(*exchange) (*http.Response, error) { return nil, err }
}

var (
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	errReset   = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	errTimeout = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}

	refuse = broken(errRefused)
)

// hang gives no answer for as long as the client waits.
func hang(x *exchange) (*http.Response, error) {
	<-x.request.Context().Done()
	return nil, x.request.Context().Err()
}

// cut gives the first half of the reply's body, then an error.
func cut(err error) answer {
	return half(func(*exchange) error { return err })
}

// stall gives the first half of the reply's body, and then nothing for as long as the client
// waits.
var stall = half(func(x *exchange) error {
	<-x.request.Context().Done()
	return x.request.Context().Err()
})

func half(then func(*exchange) error) answer {
	return func(x *exchange) (*http.Response, error) {
		body := x.reply.body
		return x.responseOf(io.NopCloser(io.MultiReader(
			bytes.NewReader(body[:len(body)/2]), readerFunc(func() error { return then(x) })))), nil
	}
}

type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }

// altered gives the reply with one bit of its body turned; its checksum stays.
func altered(x *exchange) (*http.Response, error) {
	if n := len(x.reply.body); n > 0 {
		x.reply.body[n/2] ^= 1
	}
	return x.response(), nil
}

// failed is an error as the service sends it.
func failed(status int, code string) answer {
	return func(x *exchange) (*http.Response, error) {
		if strings.HasPrefix(x.op, s3Prefix) {
			x.reply = s3Error(x, status, code)
		} else {
			x.reply = dynamoReply(status, map[string]any{"__type": errorType(code), "message": code})
		}
		return x.response(), nil
	}
}

// errorType puts a code into the namespace where DynamoDB has it: what is common to
// services comes from the framework.
func errorType(code string) string {
	switch code {
	case "AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException", "ThrottlingException",
		"ValidationException", "SerializationException", "InvalidSignatureException", "ServiceUnavailable":
		return "com.amazon.coral.service#" + code
	}
	return "com.amazonaws.dynamodb.v20120810#" + code
}

// dynamoReply is a reply as DynamoDB sends it.
func dynamoReply(status int, body any) reply {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings and what was JSON before
	}
	return reply{status, http.Header{
		"Content-Type":     {"application/x-amz-json-1.0"},
		"Content-Length":   {strconv.Itoa(len(b))},
		"X-Amzn-Requestid": {rand.Text() + rand.Text()},
		"X-Amz-Crc32":      {strconv.FormatUint(uint64(crc32.ChecksumIEEE(b)), 10)},
	}, b}
}

// canceled is a transaction that was canceled for a reason at one of its actions: the first, or
// the last.
func canceled(reason string, last bool) answer {
	return func(x *exchange) (*http.Response, error) {
		var input struct{ TransactItems []json.RawMessage }
		if err := json.Unmarshal(x.body, &input); err != nil || len(input.TransactItems) == 0 {
			return nil, fmt.Errorf("httpfault: a transaction of %d actions, %w", len(input.TransactItems), err)
		}
		reasons := make([]map[string]string, len(input.TransactItems))
		codes := make([]string, len(reasons))
		at := 0
		if last {
			at = len(reasons) - 1
		}
		for i := range reasons {
			codes[i] = "None"
			reasons[i] = map[string]string{"Code": codes[i]}
		}
		codes[at] = reason
		reasons[at] = map[string]string{"Code": reason, "Message": reason}
		x.reply = dynamoReply(http.StatusBadRequest, map[string]any{
			"__type": errorType("TransactionCanceledException"),
			"Message": "Transaction cancelled, please refer cancellation reasons for specific reasons [" +
				strings.Join(codes, ", ") + "]",
			"CancellationReasons": reasons,
		})
		return x.response(), nil
	}
}

type s3ErrorBody struct {
	XMLName   xml.Name `xml:"Error"`
	Code      string
	Message   string
	Resource  string
	RequestID string `xml:"RequestId"`
	HostID    string `xml:"HostId"`
}

// s3Error is an error as S3 sends it: to a HEAD without a body.
func s3Error(x *exchange, status int, code string) reply {
	e := s3ErrorBody{Code: code, Message: code, Resource: x.request.URL.Path,
		RequestID: rand.Text()[:16], HostID: rand.Text() + rand.Text()}
	var body []byte
	if x.request.Method != http.MethodHead {
		body = xmlBody(e)
	}
	return s3Reply(status, e.RequestID, e.HostID, body)
}

func s3Reply(status int, requestID, hostID string, body []byte) reply {
	return reply{status, http.Header{
		"Content-Type":     {"application/xml"},
		"X-Amz-Request-Id": {requestID},
		"X-Amz-Id-2":       {hostID},
	}, body}
}

func xmlBody(v any) []byte {
	b, err := xml.Marshal(v)
	if err != nil {
		panic(err) // structs of strings
	}
	return append([]byte(xml.Header), b...)
}
