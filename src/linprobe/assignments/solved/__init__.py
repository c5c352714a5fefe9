"""The assignments with their answers; a student's copy has the lines between `# answer` and `# end` left out."""
