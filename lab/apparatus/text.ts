// Prose like what services send to models: real words in sentences, paragraphs and lists, with quotes, numbers and
// line ends (each of them costs a JSON escaper). A few hundred words a language, picked anew each time, so that no
// stretch of text comes back.

export type Language = 'en' | 'vi'
export type Random = () => number

const english =
  `the of and to a in is that for it with as on was are this by be from or an at not have has their
which you we can will when after before between under over within customer order invoice contract clause delivery
warehouse shipment refund warranty account payment balance interest schedule meeting report summary question answer
model token context prompt latency throughput request response server worker queue retry timeout release version
feature deadline budget forecast quarter region branch office manager engineer analyst supplier partner agreement
liability coverage premium claim policy insurance audit compliance regulation privacy consent retention deletion
export import archive backup restore incident outage severity priority escalation runbook dashboard metric threshold
alert baseline regression benchmark experiment hypothesis result conclusion evidence source reference appendix figure
table chapter section paragraph sentence word letter number percent average median increase decrease remained changed
improved explained compared described required expected confirmed rejected approved delayed cancelled completed shipped
returned measured recorded observed reviewed updated replaced restored quickly slowly carefully rarely often usually
however therefore although because unless until while whereas meanwhile finally additionally approximately`.split(
    /\s+/,
  )

const vietnamese =
  `và của là có được cho trong với không một các những này khi từ đến như để trên theo về tại đã
sẽ đang cũng rất nhiều hơn nếu thì vì nên nhưng hoặc sau trước giữa dưới khách hàng đơn hàng hóa đơn hợp đồng điều
khoản giao hàng kho vận chuyển hoàn tiền bảo hành tài khoản thanh toán số dư lãi suất lịch trình cuộc họp báo cáo tóm
tắt câu hỏi trả lời mô hình ngữ cảnh độ trễ máy chủ yêu cầu phản hồi hàng đợi thử lại quá hạn phiên bản tính năng ngân
sách dự báo quý khu vực chi nhánh văn phòng quản lý kỹ sư phân tích nhà cung cấp đối tác thỏa thuận trách nhiệm phạm
vi phí bảo hiểm bồi thường chính sách kiểm toán tuân thủ quy định riêng tư đồng ý lưu trữ xóa dữ liệu sao lưu khôi
phục sự cố mức độ ưu tiên cảnh báo ngưỡng thí nghiệm kết quả kết luận bằng chứng nguồn tham khảo phụ lục hình bảng
chương mục đoạn câu từ chữ phần trăm trung bình tăng giảm thay đổi cải thiện giải thích so sánh mô tả xác nhận từ chối
phê duyệt hoãn hủy hoàn thành đo lường ghi nhận quan sát xem xét cập nhật thường xuyên hiếm khi nhanh chóng cẩn thận
tuy nhiên do đó mặc dù bởi vì cuối cùng ngoài ra khoảng Đà Nẵng Hà Nội Huế Cần Thơ`.split(/\s+/)

const words = { en: english, vi: vietnamese }

/** Exactly `length` characters of prose. */
export function writeText(random: Random, language: Language, length: number): string {
  let text = ''
  while (text.length < length) {
    text += sentence(random, words[language])
    const next = random()
    text += next < 0.1 ? '\n\n' : next < 0.14 ? '\n- ' : ' '
  }
  return text.slice(0, length)
}

/** A whole number from `least` to `most`. */
export function between(random: Random, least: number, most: number): number {
  return least + Math.floor(random() * (most - least + 1))
}

/** `size`, give or take a fifth: no two payloads are of one length. */
export function about(random: Random, size: number): number {
  return Math.round(size * (0.8 + 0.4 * random()))
}

function sentence(random: Random, from: readonly string[]): string {
  const first = pick(random, from)
  let text = first.charAt(0).toUpperCase() + first.slice(1)
  for (let left = between(random, 4, 22); left > 0; left--) {
    const kind = random()
    if (kind < 0.06) text += ','
    if (kind > 0.98) text += ` ${between(random, 1, 99_999)}`
    else if (kind > 0.97) text += ` "${pick(random, from)} ${pick(random, from)}"`
    else text += ` ${pick(random, from)}`
  }
  return `${text}.`
}

// The square makes the first words of a list frequent, as in language.
function pick(random: Random, from: readonly string[]): string {
  return from[Math.floor(random() ** 2 * from.length)] as string
}
