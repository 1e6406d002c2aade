import ArgumentParser
import Foundation
import JSONText
import Tensors

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check this computer and a model's files, and say what to do.",
        discussion: """
            Looks at CPU, memory, the programs that read films and some pictures, and the model: whether its files are all \
            there and fit each other and into memory. Ends with 69 if something keeps the model from running.

            Example: gemma4 doctor gemma-4-E2B-it --checksums
            """)

    @Argument(help: ArgumentHelp("As of --model; default: $\(ModelPath.variable).", valueName: "path"))
    var model: String?

    @OptionGroup var towers: TowersOptions

    @Flag(help: "Read every file of weights and compare its SHA-256 with the one it was downloaded by.")
    var checksums = false

    @Option(help: ArgumentHelp("json: one object.", valueName: "text|json"))
    var format = OutputFormat.text

    func run() throws {
        var checkup = Checkup(of: Device())
        checkup.lookForPrograms()
        if model == nil, ProcessInfo.processInfo.environment[ModelPath.variable]?.isEmpty != false {
            checkup.lookForModels()
        } else {
            let place = try ModelPath.find(model, "its path")
            checkup.open(place, towers)
            if checksums { checkup.compareChecksums(place) }
        }
        try ByteSink.standardOutput.write(format == .json ? checkup.json.json + "\n" : checkup.text)
        if checkup.findings.contains(where: { $0.state == .problem }) {
            throw ExitCode(ExitStatus.unavailable.rawValue)
        }
    }
}
