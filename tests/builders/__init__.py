"""What tests are built from: time that obeys, and objects that need no more words than the test has to say."""
