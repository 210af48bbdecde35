package rekeyd

import "fmt"

// Code says what an Error is about.
type Code string

const (
	// FolderUnreadable: the key folder is not there, cannot be read or is damaged.
	FolderUnreadable Code = "folder_unreadable"
	// NoKey: the folder holds no key to sign with.
	NoKey Code = "no_key"
	// OtherClient: the folder's new set is of another client. Told only.
	OtherClient Code = "other_client"
	// WrongClock: the server refused an assertion whose times are wrong by the server's clock. Told only.
	WrongClock Code = "clock"
	// ReportFailed: a report could not be written, although its folder is there. Told only.
	ReportFailed Code = "report_failed"
)

// Error is what the signer answers or tells on purpose. Match on Code, with errors.As; the message is for a person and never holds key material.
type Error struct {
	Code    Code
	message string
}

func (e *Error) Error() string { return e.message }

func errorf(code Code, format string, values ...any) *Error {
	return &Error{Code: code, message: fmt.Sprintf(format, values...)}
}
