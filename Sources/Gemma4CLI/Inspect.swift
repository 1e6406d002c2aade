import ArgumentParser
import Gemma4Kit

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what a model is, what it takes, and what this computer runs it with.",
        discussion: """
            A directory with a config.json alone is enough.

            Example: gemma4 inspect gemma-4-E2B-it
            """)

    @Argument(help: ArgumentHelp("Checkpoint as downloaded; default: $\(ModelDirectory.variable).", valueName: "dir"))
    var directory: String?

    @Option(help: ArgumentHelp("json: one object.", valueName: "text|json"))
    var format = OutputFormat.text

    func run() throws {
        let summary = try ModelSummary(contentsOf: ModelDirectory.find(directory, "its directory"))
        let report = InspectionReport(summary, Device())
        try ByteSink.standardOutput.write(format == .json ? report.json.json + "\n" : report.text)
    }
}
