package httpfault

import (
	"fmt"
	"net/http"
	"strings"
)

const (
	hintsPrefix = "hints."

	putItem            = "PutItem"
	updateItem         = "UpdateItem"
	deleteItem         = "DeleteItem"
	getItem            = "GetItem"
	query              = "Query"
	batchGetItem       = "BatchGetItem"
	batchWriteItem     = "BatchWriteItem"
	transactWriteItems = "TransactWriteItems"

	s3Prefix             = "s3."
	s3PutObject          = s3Prefix + "PutObject"
	s3GetObject          = s3Prefix + "GetObject"
	s3HeadObject         = s3Prefix + "HeadObject"
	s3DeleteObjects      = s3Prefix + "DeleteObjects"
	s3ListObjectVersions = s3Prefix + "ListObjectVersions"
)

// operation names the operation of a request: DynamoDB's is in a header, S3's in method and
// query.
func operation(r *http.Request) (string, error) {
	if _, op, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return op, nil
	}
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Get("x-id") == "PutObject":
		return s3PutObject, nil
	case r.Method == http.MethodGet && q.Get("x-id") == "GetObject":
		return s3GetObject, nil
	case r.Method == http.MethodHead:
		return s3HeadObject, nil
	case r.Method == http.MethodPost && q.Has("delete"):
		return s3DeleteObjects, nil
	case r.Method == http.MethodGet && q.Has("versions"):
		return s3ListObjectVersions, nil
	}
	return "", fmt.Errorf("httpfault: no operation known with %s and %q", r.Method, r.URL.RawQuery)
}
