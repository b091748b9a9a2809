"""What every call appends to: values as JSON, records, losses, vitals."""
