package pace

import (
	"context"
	"errors"
	"fmt"
)

// contextError returns why ctx has ended: an error that wraps both ctx.Err and context.Cause.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// waitError returns how an error of a bucket's wait is reported: as the end of ctx if that is the
// reason, otherwise as it is.
func waitError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return contextError(ctx)
	}
	return err
}
