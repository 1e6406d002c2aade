import ArgumentParser
import Gemma4Kit

@main
struct Gemma4Command: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gemma4", abstract: "Run Google's Gemma 4 on this computer's CPU.", subcommands: [Bench.self])
}
