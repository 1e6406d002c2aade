import Foundation
import Gemma4Kit
import Generation
import JSONText

@testable import Gemma4Server

private let options = ServerOptions(modelName: "fuzzed")

func readChatCompletion(_ bytes: [UInt8]) throws {
    _ = try AnswerRequest(chat: RequestFields(value: JSONValue(parsing: bytes)), options, sampling: .greedy)
}

func readResponse(_ bytes: [UInt8]) throws {
    _ = try AnswerRequest(responses: RequestFields(value: JSONValue(parsing: bytes)), options, sampling: .greedy)
}

func readAnthropicMessage(_ bytes: [UInt8]) throws {
    _ = try AnswerRequest(messages: RequestFields(value: JSONValue(parsing: bytes)), options, sampling: .greedy)
}

/// A form with the boundary "x": the result must not depend on chunk sizes.
func readMultipart(_ bytes: [UInt8]) throws {
    func parts(pieceLength: Int) throws -> [MultipartParser.Event] {
        var parser = MultipartParser(boundary: "x")
        var events: [MultipartParser.Event] = []
        for start in stride(from: 0, to: bytes.count, by: pieceLength) {
            try parser.append(Array(bytes[start..<min(start + pieceLength, bytes.count)])) { event in
                if case .bytes(let next) = event, case .bytes(let last)? = events.last {
                    events[events.count - 1] = .bytes(last + next)
                } else {
                    events.append(event)
                }
            }
        }
        return events
    }
    let whole = try parts(pieceLength: max(1, bytes.count))
    let pieces = try? parts(pieceLength: 3)
    precondition(pieces.map { $0.map(plain) } == whole.map(plain))
}

/// An event without the places of its bytes.
private func plain(_ event: MultipartParser.Event) -> MultipartParser.Event {
    if case .bytes(let bytes) = event { .bytes(Array(bytes)[...]) } else { event }
}
