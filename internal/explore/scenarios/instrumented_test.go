package scenarios

// instrumented is true in the build that explores.
const instrumented = false
