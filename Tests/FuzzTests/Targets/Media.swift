import Foundation
import Media
import TestSupport

/// An image of any format; for formats decoded by programs on the PATH, which should be empty, only the header.
func readPicture(_ bytes: [UInt8]) throws {
    let pixels = try ImageReader(maxPixels: 1 << 20).read(Data(bytes.withPNGChecksums))
    precondition(pixels.width * pixels.height <= 1 << 20)
}

func readSound(_ bytes: [UInt8]) throws {
    var reader = try AudioReader(Data(bytes.withOggChecksums), channels: .mix)
    var count = 0
    while let block = try reader.readBlock() {
        count += block.count
        precondition(!block.isEmpty)
        if count > 60 * AudioReader.sampleRate { break }
    }
    precondition(reader.lost.allSatisfy { $0.lowerBound <= $0.upperBound })
}
