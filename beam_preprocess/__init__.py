"""Raw click logs to TFRecords with Apache Beam."""
