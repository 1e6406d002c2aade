import Foundation
import Gemma4
import Gemma4Kit
import Hummingbird

extension ModelServer {
    /// `POST /v1/images/seen`: the resized image that the vision tower gets, for the web page. Not part of OpenAI's API.
    ///
    /// `image` is a data URL, the id of a file, or an address that media may come from; `max_soft_tokens` as in
    /// `mm_processor_kwargs`.
    @Sendable func seenPicture(_ request: Request, context: ServerContext) async throws -> Response {
        let fields = RequestFields(value: try await json(request))
        guard let reference = try fields.string("image") else { throw fields.error("image", "a data: URL") }
        let budget = try fields.softTokenBudget()
        let places = try admission.enter(1, of: context.client)
        let seen = try await HangUp.watching(context.channel) { [pipeline, pixels = options.imagePixels] in
            let resolver = try await resolver(for: [reference], context)
            guard case .image(let image) = try Gemma4Pipeline.input(.image, reference, resolver) else {
                throw fields.error("image", "a picture")
            }
            return try await pipeline.seen(image, maxTokens: budget, maxPixels: pixels)
        }
        places.leave()
        return Response(json: [
            "object": "image.seen", "width": .integer(seen.fit.width), "height": .integer(seen.fit.height),
            "seen_width": .integer(seen.fit.seenWidth), "seen_height": .integer(seen.fit.seenHeight),
            "patch_size": .integer(seen.patchSize), "pooling_kernel_size": .integer(seen.poolingKernelSize),
            "soft_tokens": .integer(seen.fit.softTokens), "max_soft_tokens": .integer(seen.fit.budget),
            "image": .string("data:image/bmp;base64," + seen.pixels.bmp.base64EncodedString()),
        ])
    }
}

extension RequestFields {
    /// Maximum soft tokens per image; nil: the model's default.
    func softTokenBudget() throws(WireError) -> Int? {
        let budgets = ProcessorConfiguration.softTokenBudgets
        let budget = try integer("max_soft_tokens", in: 1...(.max))
        guard budget.map(budgets.contains) ?? true else {
            throw error("max_soft_tokens", "one of \(budgets.map(String.init).joined(separator: ", "))")
        }
        return budget
    }
}

extension Pixels {
    /// An uncompressed BMP file, 24 bits per pixel, top row first.
    ///
    /// Source: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage.
    var bmp: Data {
        let padding = [UInt8](repeating: 0, count: (4 - width * 3 % 4) % 4)
        let size = (width * 3 + padding.count) * height
        var bytes = Data("BM".utf8)
        bytes.reserveCapacity(54 + size)
        func append(_ values: Int32...) {
            for value in values { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
        }
        append(Int32(54 + size), 0, 54)
        // Of the second header: its size, the picture's, planes (1) and bits (24) in 16 bits each, no compression.
        append(40, Int32(width), -Int32(height), 1 | 24 << 16, 0, Int32(size), 0, 0, 0, 0)
        for row in 0..<height {
            for pixel in stride(from: row * width * 3, to: (row + 1) * width * 3, by: 3) {
                bytes.append(contentsOf: [rgb[pixel + 2], rgb[pixel + 1], rgb[pixel]])
            }
            bytes.append(contentsOf: padding)
        }
        return bytes
    }
}
