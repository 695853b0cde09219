"""What is shipped, under which licences, and whether a release is what its tag says."""
