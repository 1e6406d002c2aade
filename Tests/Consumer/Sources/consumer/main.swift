import Foundation
import Gemma4Kit

// usage: consumer CHECKPOINT PICTURE   two conversations at once on one model
let pipeline = try Gemma4Pipeline(contentsOf: URL(filePath: CommandLine.arguments[1]))
let picture = URL(filePath: CommandLine.arguments[2])

async let caption = pipeline.caption(.file(picture), options: .init(maxTokens: 8)).answer()

let conversation = pipeline.conversation(system: "Be brief.")
var written = 0
for try await token in conversation.respond(to: "Hello!", options: .init(maxTokens: 8)) {
    written += 1
    if let finish = token.finish { print("answer:", written, "tokens,", finish.reason.rawValue) }
}
print("caption:", try await caption.tokens.count, "tokens")
