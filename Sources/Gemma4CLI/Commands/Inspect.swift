import ArgumentParser
import Foundation
import Gemma4Kit
import Tensors

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Say what a model is, what it takes, and what this computer runs it with.",
        discussion: """
            A directory with a config.json alone is enough. A .gguf file needs its shards; its towers are found beside it.

            Example: gemma4 inspect gemma-4-E2B-it
            """)

    @Argument(
        help: ArgumentHelp(
            "Directory as downloaded, or a .gguf file; default: $\(ModelPath.variable).", valueName: "path"))
    var model: String?

    @OptionGroup var towers: TowersOptions

    @Option(help: ArgumentHelp("json: one object.", valueName: "text|json"))
    var format = OutputFormat.text

    func run() throws {
        let source = try towers.source(ModelPath.find(model, "its path"))
        let summary = try ModelSummary(source)
        let report = InspectionReport(summary, Device())
        try ByteSink.standardOutput.write(format == .json ? report.json.json + "\n" : report.text)
    }
}
